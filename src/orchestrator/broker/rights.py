"""What the service needs of Redis, and whether its user may do it.

A script of ours looks before it writes, so that a Redis error comes while nothing has changed. It does not look whether
it may write, which costs 2 µs for each command: one that its user lacks stops it half way. So rights are looked at
beside, at one node of a Cluster, and without them no send is begun, no callback taken and nothing ended that is due.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from orchestrator.broker.broker import Broker
from orchestrator.broker.connection import Refused
from orchestrator.broker.keys import Keys

Words = tuple[str, ...]

RIGHTS_SECONDS: Final = 2.0
"""How often they are looked at."""
_NAMED: Final = 5

_encode: Final = msgspec.msgpack.Encoder().encode
_numbers: Final = msgspec.msgpack.Decoder(list[int]).decode

# What the service and its scripts send; K is a key.
COMMANDS: Final = """
DEL K, EXISTS K, EXPIRE K 1, GET K, GETDEL K, GETRANGE K 0 1, HDEL K f, HEXISTS K f, HGET K f,
HGETALL K, HINCRBY K f 1, HLEN K, HMGET K f, HSET K f v, HSETNX K f v, LINDEX K 0, LLEN K, LPOP K, LPOS K v,
LPUSH K v, LRANGE K 0 0, LREM K 1 v, LTRIM K 0 -1, PEXPIRE K 1, PEXPIREAT K 1, PEXPIRETIME K, PTTL K,
RPOP K, RPUSH K v, SADD K v, SCARD K, SET K v, SETRANGE K 0 v, SINTER K, SISMEMBER K v, SPOP K,
SRANDMEMBER K, SREM K v, TTL K, UNLINK K, ZADD K 1 v, ZCARD K, ZCOUNT K 0 1, ZINTER 1 K,
ZMSCORE K v, ZRANGE K 0 0, ZRANGEBYSCORE K 0 1, ZREM K v, ZREMRANGEBYRANK K 0 0, ZREMRANGEBYSCORE K 0 1,
ZREVRANGE K 0 0, ZSCORE K v, ZUNIONSTORE K 1 K, FCALL f 1 K, FUNCTION LOAD 0,
FUNCTION LIST, FUNCTION DELETE 0, INFO, TIME
"""
_NOBODY: Final = "doctor"
"""A tenant and an agent by this name: where rights are given by patterns of keys, theirs are those of all."""


def needs(keys: Keys) -> Iterator[Words]:
    """All that the service does: what it needs to accept and to end tasks, and what it needs to hear of them."""
    yield from _on_keys(keys)
    for channel in (keys.events(_NOBODY), f"{{{keys.bell_probe(_NOBODY)}}}:probe"):
        yield from (("SPUBLISH", channel, "v"), ("SSUBSCRIBE", channel))
    yield ("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", keys.doorbell_prefix)


def _on_keys(keys: Keys) -> Iterator[Words]:
    """Every command on one key of a tenant; reading and writing on a key of each kind."""
    tenant = keys.of_tenant(_NOBODY, _NOBODY)
    for command in COMMANDS.replace("\n", " ").split(","):
        yield tuple(tenant if word == "K" else word for word in command.split())
    for key in _kinds(keys):
        yield from (("EXISTS", key), ("DEL", key))


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


class Rights:
    """Whether this process may do what accepting and ending tasks needs, as far as it knows."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._wanted = list(_on_keys(broker.keys))
        self._packed = _encode(self._wanted)
        self.granted = True

    async def look(self) -> None:
        """Ask Redis; raises `Refused` with what is missing."""
        try:
            reply = await self._broker.run("rights", self._broker.keys.replicas, self._packed)
        except Refused:  # not even that may be asked
            self.granted = False
            raise
        missing = [" ".join(self._wanted[number - 1][:2]) for number in _numbers(reply)]
        self.granted = not missing
        if missing:
            raise Refused(f"NOPERM the user of REDIS_URL may not: {', '.join(missing[:_NAMED])}")

    def check(self) -> None:
        """Raise `Refused` where one is missing, as far as is known."""
        if not self.granted:
            raise Refused("NOPERM a right is missing that the service needs")

    def doubt(self, refused: Refused) -> None:
        """A call was refused: where that was for a right, none is begun until somebody has looked."""
        if refused.lacks_right:
            self.granted = False
