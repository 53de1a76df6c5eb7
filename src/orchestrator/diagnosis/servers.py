"""The Redis server of the settings, or every node of a Cluster: reached, fit, whole, and how it keeps what it has."""

import asyncio
import time
from contextlib import suppress
from typing import Final

from orchestrator.broker.broker import LEAST_VERSIONS
from orchestrator.broker.connection import BrokerError, Refused
from orchestrator.broker.endpoint import Endpoint
from orchestrator.broker.libraries import libraries
from orchestrator.broker.scripts import LIST, PASSING, names_of
from orchestrator.diagnosis.examination import CHECK_SECONDS, Examination, Server, age, names
from orchestrator.diagnosis.faults import Fault, Finding, found, unseen, well

SKEW_SECONDS: Final = 5.0
_SLOTS: Final = "16384"
_OF_OTHER_CHECKS: Final = {"OOM", "MISCONF", "READONLY"}
"""Reasons to refuse writes that other checks name."""
_NEARLY_FULL, _FULL = 0.8, 0.97


async def reach(exam: Examination) -> list[Finding]:
    """A server answers at REDIS_URL, and takes its user and password."""
    unset = exam.settings.sources.get("REDIS_URL") == "default"
    hint = "; REDIS_URL is not set, this is the default" if unset else ""
    server = exam.add_server(Endpoint(exam.settings.redis_url))
    try:
        await server.ask("ECHO", "orchestrator doctor")
    except Refused:
        pass  # it is there; what it refuses is another check's
    except (BrokerError, TimeoutError):
        exam.servers.clear()
        why = server.wire.failure
        if any(word in why.lower() for word in ("auth", "password")):
            return [found(Fault.REDIS_LOGIN, f"{server.name} refuses the login: {why.rstrip('.')}")]
        return [
            found(Fault.REDIS_UNREACHABLE, f"no server answers at {server.name}: {why.rstrip('.')}{hint}")
        ]
    exam.answering.add("server")
    # A Cluster that is not whole may have no node for that; a check of its own says so.
    with suppress(BrokerError, TimeoutError):
        async with asyncio.timeout(CHECK_SECONDS / 2):
            await exam.broker.set_clock()
            exam.answering.add("redis")
    return [well(f"{server.name} answers{hint}")]


async def version(exam: Examination) -> list[Finding]:
    """New enough."""
    findings: list[Finding] = []
    for server in exam.servers:
        kind, told = await _version(server)
        if _numbers(told) < LEAST_VERSIONS[kind]:
            findings.append(found(Fault.REDIS_TOO_OLD, f"{server.name} is {kind} {told}"))
    kind, told = await _version(exam.servers[0])
    return findings or [well(f"{kind} {told}")]


async def cluster(exam: Examination) -> list[Finding]:
    """A single server that takes writes, or a Cluster that serves every slot; as REDIS_URL says."""
    first = exam.servers[0]
    info = await first.info()
    enabled, wanted = info.get("cluster_enabled") == "1", exam.broker.topology.is_cluster
    if wanted and not enabled:
        return [found(Fault.CLUSTER_URL, f"REDIS_URL names a Cluster, and {first.name} is a single server")]
    findings = await _wholeness(exam) if enabled else []
    if enabled and not wanted:
        findings.append(
            found(Fault.CLUSTER_URL, f"{first.name} is a node of a Cluster, and REDIS_URL names a server")
        )
    if info.get("role") == "slave" and not wanted:
        findings.append(
            found(Fault.REDIS_READ_ONLY, f"{first.name} is a replica of {info.get('master_host')}")
        )
    return findings or [
        well(f"a Cluster, {len(exam.servers)} nodes asked" if enabled else "a single server, the primary")
    ]


async def policy(exam: Examination) -> list[Finding]:
    """Nothing is evicted."""
    findings: list[Finding] = []
    for server in exam.servers:
        info = await server.info()
        if info.get("maxmemory", "0") != "0" and info.get("maxmemory_policy") != "noeviction":
            what = f"maxmemory-policy of {server.name} is {info.get('maxmemory_policy')}: it drops live tasks"
            findings.append(found(Fault.REDIS_EVICTS, what))
    return findings or [well("nothing is evicted")]


async def memory(exam: Examination) -> list[Finding]:
    """There is room up to maxmemory."""
    findings: list[Finding] = []
    shares: list[float] = []
    for server in exam.servers:
        info = await server.info()
        most, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
        share = used / most if most else 0.0
        shares.append(share)
        if share >= _NEARLY_FULL:
            fault = Fault.REDIS_FULL if share >= _FULL else Fault.REDIS_NEARLY_FULL
            what = f"{server.name} has {used / 2**20:.0f} of {most / 2**20:.0f} MiB ({share:.0%})"
            findings.append(found(fault, what))
    top = max(shares)
    return findings or [well(f"at most {top:.0%} of maxmemory" if top else "no maxmemory is set")]


async def persistence(exam: Examination) -> list[Finding]:
    """What was accepted outlives the server."""
    findings: list[Finding] = []
    for server in exam.servers:
        info = await server.info()
        failing = [
            name
            for name in ("rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status")
            if info.get(name, "ok") != "ok"
        ]
        if failing:
            findings.append(found(Fault.REDIS_CANNOT_SAVE, f"{server.name}: {names(failing)} failed"))
        elif info.get("aof_enabled") == "0":
            saved = age(max(0.0, time.time() - float(info.get("rdb_last_save_time", "0"))))
            what = (
                f"{server.name} has appendonly off: when it dies, every task, answer and log since its last"
                f" snapshot ({saved} ago, or its start) is lost, accepted ones too"
            )
            findings.append(found(Fault.REDIS_FORGETS, what))
    return findings or [
        well("append-only file: a killed server loses nothing, a power cut a second (appendfsync)")
    ]


async def writes(exam: Examination) -> list[Finding]:
    """A write would be taken: one is queued, where the server judges it, and discarded."""
    findings: list[Finding] = []
    key = exam.broker.keys.prefix_owner
    for server in exam.servers:
        _, queued, _ = await server.ask_all([("MULTI",), ("SET", key, "?"), ("DISCARD",)])
        if isinstance(queued, Refused) and queued.kind in PASSING:
            exam.takes_writes = False
            if queued.kind not in _OF_OTHER_CHECKS:
                findings.append(found(Fault.REDIS_REFUSES, f"{server.name} takes no write: {queued}"))
    if exam.takes_writes:
        return [well("writes are taken")]
    return findings or [unseen("no write is taken; another line says why")]


async def functions(exam: Examination) -> list[Finding]:
    """Which of our libraries of functions the server has; that they were flushed does no harm."""
    there = set(names_of(await exam.servers[0].ask(*LIST)))
    ours = {library.name for library in libraries().values()}
    if not there and await exam.reports():
        return [found(Fault.FUNCTIONS_FLUSHED, "the functions were flushed; harmless")]
    what = f"the server has {len(ours & there)} of our {len(ours)} libraries"
    return [well(f"{what}, and is given the others when they are needed")]


async def prefix(exam: Examination) -> list[Finding]:
    """The callback prefix is this deployment's."""
    key, shown = exam.broker.keys.prefix_owner, exam.broker.keys.prefix
    reply, ours = await exam.broker.command(key, "GET", key), exam.settings.domain_name
    owner = reply.decode("utf-8", "replace") if reply else None
    if owner not in {None, ours}:
        what = f"deployment {owner!r} uses the callback prefix {shown!r}, and this is {ours!r}"
        return [found(Fault.PREFIX_TAKEN, what)]
    return [well(f"the callback prefix {shown!r} is {'used by this deployment' if owner else 'free'}")]


async def clock(exam: Examination) -> list[Finding]:
    """Each server has the time of this machine."""
    worst = 0.0
    for server in exam.servers:
        asked = time.time()
        seconds, micros = await server.ask("TIME")
        ahead = (asked + time.time()) / 2 - (int(seconds) + int(micros) / 1e6)
        worst = ahead if abs(ahead) > abs(worst) else worst
    if abs(worst) > SKEW_SECONDS:
        return [found(Fault.CLOCK_SKEW, f"this machine's clock is {worst:+.0f} s from that of Redis")]
    return [well(f"this machine is within {max(abs(worst), 0.1):.1f} s of Redis")]


async def _version(server: Server) -> tuple[str, str]:
    info = await server.info()
    kind = "valkey" if "valkey_version" in info else "redis"
    return kind, info.get(f"{kind}_version", "0.0")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdecimal() else 0 for part in version.split(".")[:2])


async def _wholeness(exam: Examination) -> list[Finding]:
    """Whether every slot is served; adds the other nodes to the servers that are looked at."""
    first = exam.servers[0]
    text = (await first.ask("CLUSTER", "INFO")).decode()
    state = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    lost = int(_SLOTS) - int(state.get("cluster_slots_ok", "0"))
    if state.get("cluster_state") != "ok" or lost:
        what = f"cluster_state is {state.get('cluster_state')}; {lost} of {_SLOTS} slots are not served"
        return [found(Fault.CLUSTER_NOT_WHOLE, what)]
    if exam.broker.topology.is_cluster:
        for endpoint in await exam.broker.topology.endpoints():
            if str(endpoint) != first.name:
                await exam.add_server(endpoint).ask("PING")
    return []
