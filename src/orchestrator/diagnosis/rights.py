"""What the service needs of Redis, and whether the user of REDIS_URL may do it.

Nothing of it is done: `ACL DRYRUN` says what would be refused. Who may not ask that has the commands queued in a
transaction, where Redis checks the rights of each, and the transaction is discarded.
"""

from collections.abc import Iterator
from typing import Final, cast

from orchestrator.broker.connection import Refused, Reply
from orchestrator.broker.keys import Keys
from orchestrator.diagnosis.examination import Examination, Server, names
from orchestrator.diagnosis.faults import Fault, Finding, found, unseen, well

Words = tuple[str, ...]

# What the service and its scripts send; K is a key.
COMMANDS: Final = """
APPEND K v, DEL K, EXISTS K, EXPIRE K 1, GET K, GETDEL K, GETRANGE K 0 1, HDEL K f, HEXISTS K f, HGET K f,
HGETALL K, HINCRBY K f 1, HLEN K, HMGET K f, HSET K f v, HSETNX K f v, LINDEX K 0, LLEN K, LPOP K, LPOS K v,
LPUSH K v, LRANGE K 0 0, LREM K 1 v, LTRIM K 0 -1, PEXPIRE K 1, PEXPIREAT K 1, PEXPIRETIME K, PTTL K,
RPOP K, RPUSH K v, SADD K v, SCARD K, SET K v, SINTER K, SISMEMBER K v, SMISMEMBER K v, SPOP K,
SRANDMEMBER K, SREM K v, STRLEN K, TTL K, UNLINK K, ZADD K 1 v, ZCARD K, ZCOUNT K 0 1, ZINTER 1 K,
ZMSCORE K v, ZRANGE K 0 0, ZRANGEBYSCORE K 0 1, ZREM K v, ZREMRANGEBYRANK K 0 0, ZREMRANGEBYSCORE K 0 1,
ZREVRANGE K 0 0, ZSCORE K v, ZUNIONSTORE K 1 K, EVALSHA 0 1 K, SCRIPT LOAD 0, INFO, TIME
"""
_NOBODY: Final = "doctor"
"""A tenant and an agent by this name: where rights are given by patterns of keys, theirs are those of all."""


def needs(keys: Keys) -> Iterator[Words]:
    """Every command on one key of a tenant; reading and writing on a key of each kind; the channels."""
    tenant = keys.of_tenant(_NOBODY, _NOBODY)
    for command in COMMANDS.replace("\n", " ").split(","):
        yield tuple(tenant if word == "K" else word for word in command.split())
    for key in _kinds(keys):
        yield from (("EXISTS", key), ("DEL", key))
    for channel in (keys.events(_NOBODY), f"{{{keys.bell_probe(_NOBODY)}}}:probe"):
        yield from (("SPUBLISH", channel, "v"), ("SSUBSCRIBE", channel))
    yield ("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", keys.doorbell_prefix)


def _kinds(keys: Keys) -> tuple[str, ...]:
    queue = f"execution:agent-{_NOBODY}:free"
    return (
        keys.callbacks(_NOBODY),
        queue,
        f"{{{queue}}}:t:task-{_NOBODY}:1",
        "{dispatch}:doctor",
        keys.replicas,
        keys.agenda_part(0),
        keys.ticket(_NOBODY),
        keys.prefix_owner,
        keys.bell_probe(_NOBODY),
    )


async def rights(exam: Examination) -> list[Finding]:
    """The user may do what the service does."""
    wanted = list(needs(exam.broker.keys))
    findings: list[Finding] = []
    for server in exam.servers:
        user = await _user(server)
        refused = await _dry_run(server, user, wanted)
        if refused is None:
            refused = await _queued(server, wanted)
        if refused is None:
            return [unseen("the user may neither ask for ACL DRYRUN nor use MULTI")]
        if refused:
            shown = names([" ".join(words[:2]) for words in refused])
            findings.append(found(Fault.RIGHTS_MISSING, f"{server.name} refuses {user}: {shown}"))
    return findings or [well(f"all {len(wanted)} kinds of commands that the service needs are allowed")]


async def _user(server: Server) -> str:
    try:
        return cast("bytes", await server.ask("ACL", "WHOAMI")).decode("utf-8", "replace")
    except Refused:
        return "the user of REDIS_URL"


async def _dry_run(server: Server, user: str, wanted: list[Words]) -> list[Words] | None:
    """What would be refused; None where that may not be asked."""
    try:
        await server.ask("ACL", "DRYRUN", user, "PING")
    except Refused:
        return None
    replies = await server.ask_all([("ACL", "DRYRUN", user, *words) for words in wanted])
    return [words for words, reply in zip(wanted, replies, strict=True) if _says_no(reply)]


def _says_no(reply: Reply | Refused) -> bool:
    return isinstance(reply, bytes) and reply != b"OK"


async def _queued(server: Server, wanted: list[Words]) -> list[Words] | None:
    """What is refused when it is queued, and never done; None where there can be no transaction."""
    begun, *replies, _ = await server.ask_all([("MULTI",), *wanted, ("DISCARD",)])
    if isinstance(begun, Refused):
        return None
    return [
        words
        for words, reply in zip(wanted, replies, strict=True)
        if isinstance(reply, Refused) and reply.kind == "NOPERM"
    ]
