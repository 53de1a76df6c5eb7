"""How many shards of Valkey a load takes, and what lies in their memory."""

import math
from collections.abc import Mapping

import msgspec

from orchestrator.capacity.costs import Costs
from orchestrator.capacity.load import GIB, Load
from orchestrator.capacity.rates import ITEMS_PER_CALL, LOG_MAX_EVENTS, Rates
from orchestrator.capacity.service import SIDE_WORK
from orchestrator.protocol.shares import LISTENERS_MAX

_BITS_PER_GBIT = 1_000_000_000 / 8


class Shards(msgspec.Struct, frozen=True, kw_only=True):
    """The primaries of all deployments together."""

    count: int
    by: Mapping[str, int]
    """How many each reason alone would take."""
    busy: Mapping[str, float]
    """µs of CPU a second, by what they go into."""
    memory: Mapping[str, float]
    """Bytes, by what they hold."""
    sent: float
    """Bytes a second, to processes of the service."""


def shards_of(load: Load, rates: Rates, costs: Costs, *, heard: float, deployments: int) -> Shards:
    """The least that carries the load, where `heard` processes hear a tenant's announcements."""
    busy, memory = _busy(load, rates, costs, heard), _memory(load, costs)
    sent = rates.events * load.bytes_per_event * heard
    listening = LISTENERS_MAX * load.usable_us * SIDE_WORK
    by = {
        "CPU": math.ceil(sum(busy.values()) / load.usable_us),
        "memory": math.ceil(sum(memory.values()) / (load.shard_gib * GIB * load.usable)),
        "taking callbacks": math.ceil(rates.calls * costs.service_us_per_call / listening),
        "the line": math.ceil(sent / (load.gbit * _BITS_PER_GBIT * load.usable)),
    }
    return Shards(count=max(deployments, *by.values()), by=by, busy=busy, memory=memory, sent=sent)


def tenant_events(load: Load, costs: Costs, *, heard: float) -> float:
    """Events a second of one tenant that one shard carries, its messages included."""
    call = costs.valkey_us_per_call + heard * costs.valkey_us_per_heard
    streamed = costs.valkey_us_per_event + costs.valkey_us_per_push + call / ITEMS_PER_CALL
    return load.usable_us / (streamed + costs.valkey_us_per_trip / load.events_per_message)


def _busy(load: Load, rates: Rates, costs: Costs, heard: float) -> dict[str, float]:
    call = costs.valkey_us_per_call + heard * costs.valkey_us_per_heard
    return {
        "events": rates.events * (costs.valkey_us_per_event + costs.valkey_us_per_push),
        "calls": rates.calls * call,
        "messages": rates.messages * costs.valkey_us_per_trip,
        "the dispatch": rates.messages * costs.valkey_us_per_claim * load.dispatched,
        "idle sockets": rates.checks * costs.valkey_us_per_check,
        "a deploy": rates.connects * costs.valkey_us_per_connect,
    }


def _memory(load: Load, costs: Costs) -> dict[str, float]:
    # A log is shortened by its bounds alone while its socket is open, and kept for a while after the last event.
    sessions = load.sockets * (1 + load.resume_seconds / load.session_seconds)
    logged = min(LOG_MAX_EVENTS, load.events_per_second * load.session_seconds / load.sockets)
    ledgers = load.messages * (load.ledger_seconds + load.answer_seconds)
    return {
        "sessions": sessions * costs.bytes_per_session,
        "logs": sessions * logged * costs.bytes_per_log_event,
        "ledgers": ledgers * (costs.bytes_per_ledger + load.bytes_per_answer),
    }
