"""How many processes of the service a load takes, and how many deployments."""

import math
from collections.abc import Mapping
from typing import Final

import msgspec

from orchestrator.capacity.costs import Costs
from orchestrator.capacity.load import GIB, Load
from orchestrator.capacity.rates import Rates

SIDE_WORK: Final = 1 / 3
"""Part of a process's usable time that may go into either of what is not its own sockets': taking callbacks, and
hearing announcements."""
_KIB: Final = 1024
_MIB: Final = 1024**2


class Fleet(msgspec.Struct, frozen=True, kw_only=True):
    """The processes of all deployments together."""

    deployments: int
    """Each with a Valkey of its own; tenants are divided over them."""
    processes: int
    heard: float
    """Processes that hear a tenant's announcements."""
    by: Mapping[str, int]
    """How many each reason alone would take."""
    busy: Mapping[str, float]
    """µs of CPU a second, by what they go into."""


def fleet_of(load: Load, rates: Rates, costs: Costs) -> Fleet:
    """The least that carries the load."""
    busy = _busy(rates, costs)
    own = sum(busy.values())
    reconnecting = rates.connects * costs.service_us_per_connect
    by = {"memory": _by_memory(load, costs), "a deploy": math.ceil((own + reconnecting) / 1_000_000)}
    processes, by["CPU"] = max(1, *by.values()), 0
    # Each process more is one that hears; ends, since what hearing adds is bounded.
    while (needed := _by_cpu(load, rates, costs, own, processes)) > processes:
        processes = needed
    by["CPU"] = needed
    deployments = _deployments(load, rates, costs, processes)
    return Fleet(
        deployments=deployments,
        processes=max(processes, deployments),
        heard=heard_by(load, processes, deployments),
        by=by,
        busy={**busy, "hearing": _hearing(load, rates, costs, processes)},
    )


def heard_by(load: Load, processes: int, deployments: float) -> float:
    """In how many processes a tenant has a socket, where sockets go anywhere in the tenant's deployment."""
    there = max(1.0, processes / deployments)
    spread = there * -math.expm1(-load.sockets / load.tenants / there)
    most = load.processes_per_tenant or math.inf
    return min(max(1.0, spread), there, most)


def hearing_use(load: Load, rates: Rates, costs: Costs, processes: int, deployments: int) -> float:
    """Which part of what a process may do beside its sockets goes into announcements of its deployment."""
    heard = rates.calls * heard_by(load, processes, deployments) / processes
    return heard * costs.service_us_per_heard / (load.usable_us * SIDE_WORK)


def dispatch_use(load: Load, rates: Rates, costs: Costs) -> float:
    """Which part of one shard the fair dispatch takes, which lies in one slot."""
    return rates.messages * costs.valkey_us_per_claim / load.usable_us if load.dispatched else 0.0


def _busy(rates: Rates, costs: Costs) -> dict[str, float]:
    return {
        "events": rates.events * costs.service_us_per_event,
        "calls": rates.calls * costs.service_us_per_call,
        "messages": rates.messages * costs.service_us_per_trip,
        "idle sockets": rates.pings * costs.service_us_per_ping + rates.checks * costs.service_us_per_check,
    }


def _by_cpu(load: Load, rates: Rates, costs: Costs, own: float, processes: int) -> int:
    return math.ceil((own + _hearing(load, rates, costs, processes)) / load.usable_us)


def _hearing(load: Load, rates: Rates, costs: Costs, processes: int) -> float:
    """µs a second of all processes together, in as many deployments as the rest asks for; at most what is granted."""
    deployments = _least_deployments(load, rates, costs)
    whole = rates.calls * heard_by(load, processes, deployments) * costs.service_us_per_heard
    return min(whole, SIDE_WORK * load.usable_us * processes)


def _by_memory(load: Load, costs: Costs) -> int:
    room = load.memory_gib * GIB * load.usable - costs.mib_per_process * _MIB
    if room < costs.kib_per_socket * _KIB:
        raise ValueError(f"no socket fits into {load.usable:.0%} of {load.memory_gib:g} GiB")
    return math.ceil(load.sockets * costs.kib_per_socket * _KIB / room)


def _least_deployments(load: Load, rates: Rates, costs: Costs) -> float:
    return max(1.0, dispatch_use(load, rates, costs))


def _deployments(load: Load, rates: Rates, costs: Costs, processes: int) -> int:
    least = math.ceil(_least_deployments(load, rates, costs))
    # More deployments than tenants or processes divide nothing any more.
    most = max(least, min(load.tenants, processes))
    fits = (n for n in range(least, most) if hearing_use(load, rates, costs, processes, n) <= 1)
    return next(fits, most)
