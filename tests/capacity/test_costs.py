"""The figures that plans go by, and what the model takes from the code."""

import json

import pytest

from orchestrator import runtime
from orchestrator.broker import callbacks
from orchestrator.capacity import rates
from orchestrator.capacity.costs import NAMES, CostsError, Figure, costs_of, known_figures, with_own
from orchestrator.capacity.load import Load
from orchestrator.setting_table import SETTINGS

DEFAULTS = {setting.name: setting.default for setting in SETTINGS}


def document(**values: object) -> bytes:
    """A file of figures as a bench writes it."""
    return json.dumps(
        {"figures": [{"name": name, "value": value} for name, value in values.items()]}
    ).encode()


def test_every_figure_is_there_once() -> None:
    """The package has each of them, in the order of the model, with unit, source and meaning."""
    figures = known_figures()
    assert [figure.name for figure in figures] == list(NAMES)
    assert all(figure.unit and figure.source and figure.means for figure in figures)


def test_own_figures_take_the_place_of_ours() -> None:
    """Those of the file count, with its name as their source; others of it are nobody's concern."""
    own = with_own(known_figures(), document(kib_per_socket=7, peers_fastify=3), "results.json")
    costs = costs_of(own)
    assert costs.kib_per_socket == 7
    assert costs.service_us_per_event == costs_of(known_figures()).service_us_per_event
    assert next(figure.source for figure in own if figure.name == "kib_per_socket") == "results.json"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"not JSON", "no file of figures"),
        (b'{"results": []}', "no file of figures"),
        (document(kib_per_socket="much"), "no file of figures"),
        (document(peers_fastify=3), "none of the figures"),
    ],
)
def test_what_is_no_file_of_figures(text: bytes, why: str) -> None:
    """It is refused, with the reason."""
    with pytest.raises(CostsError, match=why):
        with_own(known_figures(), text, "results.json")


@pytest.mark.parametrize("value", [0, -1])
def test_nothing_is_free(value: float) -> None:
    """A cost that is not above 0 was not measured."""
    with pytest.raises(CostsError, match="kib_per_socket"):
        costs_of(with_own(known_figures(), document(kib_per_socket=value), "results.json"))


def test_a_figure_that_is_missing_is_named() -> None:
    """No plan is made with less than all of them."""
    with pytest.raises(CostsError, match="mib_per_process"):
        costs_of([Figure(name=name, value=1) for name in NAMES if name != "mib_per_process"])


def test_the_model_knows_the_service() -> None:
    """What it takes from the code and from the settings is what stands there."""
    assert rates.ITEMS_PER_CALL == callbacks.ITEMS_PER_CALL
    assert (rates.IDLE_CHECK_SECONDS, rates.BUSY_CHECK_SECONDS) == (
        runtime.IDLE_CHECK_SECONDS,
        runtime.BUSY_CHECK_SECONDS,
    )
    assert f"{rates.PING_SECONDS:g}" == DEFAULTS["ORCHESTRATOR_WEBSOCKET_PING_INTERVAL"]
    assert f"{rates.ACCESS_SECONDS:g}" == DEFAULTS["ORCHESTRATOR_VALIDATION_CACHE_TTL"]
    assert str(rates.LOG_MAX_EVENTS) == DEFAULTS["ORCHESTRATOR_EVENT_LOG_MAX_EVENTS"]
    assert f"{Load().resume_seconds:g}" == DEFAULTS["ORCHESTRATOR_EVENT_LOG_TTL"]
    assert f"{Load().ledger_seconds:g}" == DEFAULTS["ORCHESTRATOR_TASK_TTL"]
