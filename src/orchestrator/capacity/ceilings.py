"""What does not grow by adding machines to a deployment: how far each goes, and what to do then."""

from collections.abc import Iterator

import msgspec

from orchestrator.capacity.amounts import amount, share
from orchestrator.capacity.costs import Costs
from orchestrator.capacity.load import Load
from orchestrator.capacity.rates import Rates
from orchestrator.capacity.service import SIDE_WORK, Fleet, dispatch_use, hearing_use
from orchestrator.capacity.valkey import Shards, tenant_events


class Ceiling(msgspec.Struct, frozen=True, kw_only=True):
    """`use` is the part of one deployment's limit that the whole load takes; above 1 it takes several."""

    name: str
    use: float
    because: str
    then: str


def ceilings_of(load: Load, rates: Rates, costs: Costs, fleet: Fleet, shards: Shards) -> Iterator[Ceiling]:
    """The nearest is the next bottleneck."""
    yield Ceiling(
        name="hearing announcements",
        use=hearing_use(load, rates, costs, fleet.processes, 1),
        because=f"{amount(rates.calls)} announcements/s, each in every process that has a socket of the tenant,"
        f" × {costs.service_us_per_heard:g} µs; {share(SIDE_WORK)} of a process is for that",
        then="let the balancer keep a tenant's sockets on few processes (hash of tenant_id; --processes-per-tenant"
        " says what that gives), or divide tenants over more deployments",
    )
    yield Ceiling(
        name="the fair dispatch",
        use=dispatch_use(load, rates, costs),
        because=f"{amount(rates.messages)} tasks/s × {costs.valkey_us_per_claim:g} µs in one slot, so on one shard"
        if load.dispatched
        else "plain agents take from their queues by themselves",
        then="divide tenants over more deployments; agents without the SDK need no dispatch (--plain-agents)",
    )
    limit = tenant_events(load, costs, heard=fleet.heard)
    yield Ceiling(
        name="one tenant",
        use=_tenant_use(load, shards),
        because=f"all of a tenant lies in one slot, so on one shard: at most {amount(limit)} events/s for the biggest,"
        f" {amount(load.events_per_second / load.tenants)} here",
        then="book it as several tenants; larger pieces of text make fewer events",
    )


def _tenant_use(load: Load, shards: Shards) -> float:
    own = sum(shards.busy[part] for part in ("events", "calls", "messages"))
    return own / load.tenants / load.usable_us
