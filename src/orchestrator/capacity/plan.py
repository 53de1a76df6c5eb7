"""The plan: what a load needs, each number with its reason, and what would be too small next."""

import math
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from orchestrator.capacity.amounts import amount, line, share, size
from orchestrator.capacity.ceilings import Ceiling, ceilings_of
from orchestrator.capacity.costs import Costs
from orchestrator.capacity.load import Load
from orchestrator.capacity.rates import ACCESS_SECONDS, Rates, rates_of
from orchestrator.capacity.service import Fleet, fleet_of
from orchestrator.capacity.valkey import Shards, shards_of

_BITS: Final = 8


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """One number, and why it is that."""

    name: str
    value: float
    unit: str
    shown: str
    because: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to build, and the nearest of the ceilings."""

    needs: list[Need]
    ceilings: list[Ceiling]
    bottleneck: Ceiling

    def need(self, name: str) -> float:
        """The value of a need."""
        return next(need.value for need in self.needs if need.name == name)


def plan_of(load: Load, costs: Costs) -> Plan:
    """The least that carries `load`; raises `ValueError` where nothing does."""
    rates = rates_of(load)
    fleet = fleet_of(load, rates, costs)
    shards = shards_of(load, rates, costs, heard=fleet.heard, deployments=fleet.deployments)
    ceilings = list(ceilings_of(load, rates, costs, fleet, shards))
    needs = [*_service(load, fleet, ceilings), *_valkey(shards), *_lines(load, rates, fleet, shards)]
    return Plan(needs=needs, ceilings=ceilings, bottleneck=max(ceilings, key=lambda ceiling: ceiling.use))


def _service(load: Load, fleet: Fleet, ceilings: list[Ceiling]) -> Iterator[Need]:
    yield _count("deployments", fleet.deployments, _why_several(ceilings))
    yield _count("processes of the service", fleet.processes, f"{_by(fleet.by)}; CPU is {_parts(fleet.busy)}")
    yield _count(
        "machines of the service",
        _machines(load, fleet),
        f"{load.cores} cores: `serve --workers {load.cores}` on each",
    )
    each = math.ceil(load.sockets / fleet.processes)
    yield _count(
        "sockets of a process", each, "ORCHESTRATOR_MAX_WEBSOCKET_CONNECTIONS above that, and `ulimit -n`"
    )


def _valkey(shards: Shards) -> Iterator[Need]:
    yield _count("primaries of Valkey", shards.count, f"{_by(shards.by)}; CPU is {_parts(shards.busy)}")
    memory = sum(shards.memory.values())
    parts = ", ".join(f"{name} {size(value)}" for name, value in _largest_first(shards.memory))
    yield Need(name="memory of Valkey", value=memory, unit="B", shown=size(memory), because=parts)


def _lines(load: Load, rates: Rates, fleet: Fleet, shards: Shards) -> Iterator[Need]:
    out = rates.events * load.bytes_per_event
    yield Need(
        name="line to clients",
        value=out * _BITS / 1e9,
        unit="Gbit/s",
        shown=line(out),
        because=f"{amount(rates.events)} events/s × {load.bytes_per_event:g} B;"
        f" {line(out / _machines(load, fleet))} a machine",
    )
    yield Need(
        name="line from Valkey",
        value=shards.sent * _BITS / 1e9,
        unit="Gbit/s",
        shown=line(shards.sent),
        because=f"processes that hear an event, having sockets of its tenant: {amount(fleet.heard)};"
        f" {line(shards.sent / shards.count)} a primary",
    )
    yield Need(
        name="queries of Postgres",
        value=rates.lookups,
        unit="1/s",
        shown=f"{amount(rates.lookups)}/s",
        because=f"{amount(load.tenants)} tenants, an answer is kept for {ACCESS_SECONDS:g} s;"
        " never on the way of a message",
    )


def _why_several(ceilings: list[Ceiling]) -> str:
    over = [f"{share(ceiling.use)} by {ceiling.name}" for ceiling in ceilings if ceiling.use > 1]
    return f"of what one can do there is asked {', '.join(over)}" if over else "one is enough"


def _machines(load: Load, fleet: Fleet) -> int:
    return math.ceil(fleet.processes / load.cores)


def _count(name: str, value: int, because: str) -> Need:
    return Need(name=name, value=value, unit="", shown=amount(value), because=because)


def _by(by: Mapping[str, int]) -> str:
    return ", ".join(f"{name} asks for {amount(count)}" for name, count in _largest_first(by))


def _parts(busy: Mapping[str, float]) -> str:
    whole = sum(busy.values())
    return ", ".join(f"{name} {share(us / whole)}" for name, us in _largest_first(busy) if us >= whole / 100)


def _largest_first(values: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(values.items(), key=lambda item: -item[1])
