"""What a load does each second, before anybody asks what that costs."""

from typing import Final

import msgspec

from orchestrator.capacity.load import Load

# Of the service; a test holds them against the code.
ITEMS_PER_CALL: Final = 128
PING_SECONDS: Final = 30.0
IDLE_CHECK_SECONDS: Final = 40.0
BUSY_CHECK_SECONDS: Final = 2.0
LOG_MAX_EVENTS: Final = 10_000
ACCESS_SECONDS: Final = 300.0


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Each a second, except `batch`."""

    events: float
    messages: float
    batch: float
    """Events of a tenant that one call takes."""
    calls: float
    """Calls that take callbacks; each makes one announcement. In a Cluster a call is for one tenant."""
    pings: float
    checks: float
    """Comparisons of open sessions with their logs: all now and then, those with a running task often."""
    connects: float
    """While a deploy goes on."""
    lookups: float
    """Answers of the database that have to be asked for anew."""


def rates_of(load: Load) -> Rates:
    """The rates of a load whose tenants are alike."""
    waiting = load.events_per_second / load.tenants * load.wait_seconds
    batch = min(max(waiting, 1.0), float(ITEMS_PER_CALL))
    busy = min(load.messages * load.answer_seconds, load.sockets)
    return Rates(
        events=load.events_per_second,
        messages=load.messages,
        batch=batch,
        calls=load.events_per_second / batch,
        pings=load.sockets / PING_SECONDS,
        checks=load.sockets / IDLE_CHECK_SECONDS + busy / BUSY_CHECK_SECONDS,
        connects=load.sockets / load.deploy_seconds,
        lookups=load.tenants / ACCESS_SECONDS,
    )
