"""The page of the bench says what was measured, and its goals are judged by it."""

from pathlib import Path

import msgspec
import pytest
from benchmarks.compare import page, results
from benchmarks.compare.goals import goals
from benchmarks.compare.results import Floor, Measured, Results, Row
from benchmarks.figures import Figure, goal_of, rounded
from benchmarks.load.sockets import Counter


def measured(micros: float, **changes: float) -> Measured:
    """A load that cost so much."""
    found = Measured(
        micros=micros, valkey_micros=7, load_micros=3, rate=1_000, busy=0.9, load_busy=0.5, p50=1.0, p99=3.0
    )
    return msgspec.structs.replace(found, **changes)


OURS = {"stream": measured(8), "trips": measured(120), "alone": measured(900), "paced": measured(700)}
ROWS = [
    Row("orchestrator", "ours", "here", **OURS),
    Row("fastify", "Node", "fastify 5", stream=measured(200), trips=measured(360)),
]
BARE = Floor(measured(30), measured(6), measured(3))
BEST = {("orchestrator", load): found for load, found in OURS.items()} | {("token", "trips"): measured(190)}


def found() -> Results:
    """A run in which all was measured but the FastAPI peer, which was left out."""
    return Results(
        command="python -m benchmarks",
        when="today",
        commit="abc",
        machine="a machine",
        versions="Python 3",
        floor=BARE,
        rows=ROWS,
        left_out={"fastapi_lists": "not installed"},
        figures=goals(BARE, ROWS, BEST),
    )


@pytest.mark.parametrize(
    ("name", "value", "met"),
    [
        ("service_us_per_event", 8, True),
        ("event_over_frame", 8 / 6, True),
        ("service_us_per_trip", 120, True),
        ("service_us_per_trip_token", 190, False),
        ("service_us_per_trip_at_100", 700, False),
        ("latency_p99_ms", 3, True),
        ("event_times_fastify", 25, True),
        ("trip_times_fastify", 3, None),
    ],
)
def test_figures_are_held_against_their_goals(name: str, value: float, met: bool | None) -> None:
    """Each by its own direction; what has no goal is neither met nor missed."""
    figure = next(figure for figure in found().figures if figure.name == name)
    assert (figure.value, figure.met) == (value, met)


def test_nothing_is_told_of_what_was_not_measured() -> None:
    """A peer that was left out, or a part that was not run, has no figure."""
    names = {figure.name for figure in found().figures}
    assert not any("fastapi" in name for name in names)
    assert [figure.name for figure in goals(BARE, [], {})] == []


def test_the_page_tells_all() -> None:
    """Every subject, every goal that was missed, and who was left out and why."""
    text = page.written(found())
    assert "| **orchestrator** | 8 | 120 | 700 | 1 / 3 |" in text
    assert "| fastify | 200 (25.0) | 360 (3.0) | – | – |" in text
    assert "| CPU of a round trip with JWT | 190 µs | ≤ 180 | **missed** |" in text
    assert "- **fastapi_lists**: left out, not installed" in text


def test_results_are_read_as_they_were_saved(tmp_path: Path) -> None:
    """`results.json` is what plots and `--costs` read."""
    path = tmp_path / "results.json"
    results.save(found(), path)
    assert results.load(path) == found()


def test_a_goal_says_its_direction() -> None:
    """At most, or at least."""
    assert goal_of(Figure(name="a", says="a", value=1, unit="µs", goal=10)) == "≤ 10"
    assert goal_of(Figure(name="a", says="a", value=1, unit="1/s", goal=60_000, better="more")) == "≥ 60,000"


@pytest.mark.parametrize(
    ("value", "shown"), [(0.01234, "0.0123"), (9.876, "9.88"), (123.4, "123"), (52_000.4, "52,000")]
)
def test_numbers_have_three_digits(value: float, shown: str) -> None:
    """More would be noise."""
    assert rounded(value) == shown


def test_texts_are_counted_across_reads() -> None:
    """However the bytes are cut, each occurrence counts once."""
    stream = b'x"type":"agent_chunk"yy"type":"agent_chunk"' * 3
    for size in range(1, len(stream)):
        counter = Counter(b'"type":"agent_chunk"')
        for start in range(0, len(stream), size):
            counter.feed(stream[start : start + size])
        assert counter.count == 6, size
