"""What a load showed, out of its trips."""

from orchestrator.bench.report import Report, Trip, report_of


def reported(messages: int, *trips: Trip) -> Report:
    """The report about these trips, with nothing refused."""
    return report_of(messages, trips, refusals={}, waited=0, reconnects={})


def trip(number: int) -> Trip:
    """One that was sent at that second, accepted `number` ms later and ended after twice that."""
    took = number / 1000
    return Trip(
        task_id=f"task-{number}",
        sent=number,
        answered=number + took,
        ended=number + 2 * took,
        ending="completed",
    )


def test_percentiles_are_times_that_somebody_waited() -> None:
    """Nearest rank: of a hundred times the 50th, the 95th, the 99th and the last."""
    report = reported(100, *(trip(number) for number in range(100, 0, -1)))
    assert report.to_accepted
    assert report.to_ending
    shown = [
        round(value) for value in (report.to_accepted.p50, report.to_accepted.p95, report.to_accepted.p99)
    ]
    assert shown == [50, 95, 99]
    assert round(report.to_ending.most) == 200
    assert report.to_first_chunk is None


def test_the_rate_is_that_of_the_sending() -> None:
    """From the first POST to the last 202; the whole lasts to the last ending."""
    report = reported(2, trip(10), trip(20))
    assert round(report.accepted_per_second, 4) == round(2 / 10.02, 4)
    assert round(report.seconds, 4) == 10.04
    assert report.whole


def test_what_is_not_whole() -> None:
    """A message that was not accepted, or has no ending, is told."""
    lost = Trip(task_id="task-lost", sent=1, answered=2)
    assert not reported(2, trip(1)).whole
    assert not reported(1, lost).whole
    assert reported(1, lost).without_ending == ["task-lost"]
    assert not reported(1).whole
