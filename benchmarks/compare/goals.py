"""What a run of the report is held against: figures with goals, from what was measured."""

from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks.compare.results import Floor, Measured, Row
from benchmarks.figures import Figure

NODE: Final = "fastify"
FASTAPI: Final = "fastapi_lists"


def goals(bare: Floor, rows: Sequence[Row], best: Mapping[tuple[str, str], Measured]) -> list[Figure]:
    """Every figure that this run can tell."""
    ours = {load: found for (name, load), found in best.items() if name == "orchestrator"}
    peers = {row.name: row for row in rows}
    found = [*_stream(ours, bare), *_trips(ours), *_latency(ours)]
    found += [*_other_sockets(best), *_token(best)]
    for name, event_goal in ((NODE, 20), (FASTAPI, 45)):
        if name in peers and "stream" in ours:
            found += _times(name, peers[name], ours, event_goal)
    return found


def _stream(ours: Mapping[str, Measured], bare: Floor) -> list[Figure]:
    if "stream" not in ours:
        return []
    micros = ours["stream"].micros
    return [
        Figure(
            name="service_us_per_event",
            says="CPU of a streamed event, 100 sockets",
            value=micros,
            unit="µs",
            goal=10,
        ),
        Figure(
            name="events_per_core",
            says="events a core of the service carries",
            value=1e6 / micros,
            unit="1/s",
            goal=60_000,
            better="more",
        ),
        Figure(
            name="events_per_second",
            says="events/s as they came in this run",
            value=ours["stream"].rate,
            unit="1/s",
            goal=60_000,
            better="more",
        ),
        Figure(
            name="event_over_frame",
            says="a streamed event in bare frames, each sent by itself",
            value=micros / bare.frame_each.micros,
            unit="×",
            goal=2,
        ),
        Figure(
            name="valkey_us_per_event",
            says="Valkey's CPU of a streamed event",
            value=ours["stream"].valkey_micros,
            unit="µs",
        ),
    ]


def _trips(ours: Mapping[str, Measured]) -> list[Figure]:
    found: list[Figure] = []
    if trips := ours.get("trips"):
        found += [
            Figure(
                name="service_us_per_trip",
                says="CPU of a round trip, saturated",
                value=trips.micros,
                unit="µs",
                goal=150,
            ),
            Figure(
                name="trips_per_core",
                says="round trips a core of the service carries",
                value=1e6 / trips.micros,
                unit="1/s",
                goal=6_000,
                better="more",
            ),
            Figure(
                name="trips_per_second",
                says="round trips/s as they came in this run",
                value=trips.rate,
                unit="1/s",
                goal=6_000,
                better="more",
            ),
            Figure(
                name="valkey_us_per_trip",
                says="Valkey's CPU of a round trip",
                value=trips.valkey_micros,
                unit="µs",
            ),
        ]
    if paced := ours.get("paced"):
        found.append(
            Figure(
                name="service_us_per_trip_at_100",
                says="CPU of a round trip at 100/s",
                value=paced.micros,
                unit="µs",
                goal=600,
            )
        )
    return found


def _latency(ours: Mapping[str, Measured]) -> list[Figure]:
    alone = ours.get("alone")
    if alone is None or alone.p50 is None or alone.p99 is None:
        return []
    return [
        Figure(
            name="latency_p50_ms",
            says="message to answer, nothing else going on, p50",
            value=alone.p50,
            unit="ms",
            goal=1.5,
        ),
        Figure(name="latency_p99_ms", says="the same, p99", value=alone.p99, unit="ms", goal=4),
    ]


def _other_sockets(best: Mapping[tuple[str, str], Measured]) -> list[Figure]:
    return [
        Figure(
            name=f"service_us_per_event_{load.removeprefix('stream_')}",
            says=f"CPU of a streamed event, sockets: {load.removeprefix('stream_')}",
            value=found.micros,
            unit="µs",
            goal=10,
        )
        for (name, load), found in best.items()
        if name == "other sockets"
    ]


def _token(best: Mapping[tuple[str, str], Measured]) -> list[Figure]:
    found = best.get(("token", "trips"))
    if found is None:
        return []
    return [
        Figure(
            name="service_us_per_trip_token",
            says="CPU of a round trip with JWT",
            value=found.micros,
            unit="µs",
            goal=180,
        )
    ]


def _times(name: str, peer: Row, ours: Mapping[str, Measured], event_goal: float) -> list[Figure]:
    found: list[Figure] = []
    if peer.stream:
        times = peer.stream.micros / ours["stream"].micros
        found.append(
            Figure(
                name=f"event_times_{name}",
                says=f"an event of {name} in events of ours",
                value=times,
                unit="×",
                goal=event_goal,
                better="more",
            )
        )
    if peer.trips and "trips" in ours:
        times = peer.trips.micros / ours["trips"].micros
        found.append(
            Figure(
                name=f"trip_times_{name}",
                says=f"a round trip of {name} in round trips of ours",
                value=times,
                unit="×",
            )
        )
    return found
