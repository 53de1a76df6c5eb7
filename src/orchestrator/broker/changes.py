"""The feed of what administrators changed, which every replica follows (docs/decisions/0008)."""

from collections.abc import Iterator
from typing import Final, cast

import msgspec

from orchestrator.broker.broker import Broker

KEPT_SECONDS: Final = 90 * 86_400
"""A revocation has to outlive the tokens that it voids."""
KEPT_MAX: Final = 100_000
_PAGE: Final = 500


class TenantChanged(msgspec.Struct, frozen=True):
    """A tenant was changed: whoever has sockets of it asks again whether they may stay."""

    tenant: str


class Revoked(msgspec.Struct, frozen=True):
    """Tokens of a subject that were issued until `at` (µs) are void."""

    tenant: str
    subject: str
    at: int


class LimitsChanged(msgspec.Struct, frozen=True):
    """The limits of a tier were changed."""


Change = TenantChanged | Revoked | LimitsChanged


class Changes:
    """Announces changes and reads what was announced."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._key = broker.keys.changes

    async def tenant_changed(self, tenant: str) -> None:
        await self._announce(f"tenant {tenant}")

    async def revoked(self, tenant: str, subject: str, at_micros: int) -> None:
        # The subject comes last: it alone may hold spaces.
        await self._announce(f"revoked {at_micros} {tenant} {subject}")

    async def limits_changed(self) -> None:
        await self._announce("limits")

    async def newest(self) -> int:
        """Where the feed stands: what is announced later has a higher score."""
        last = cast(
            "list[bytes]", await self._broker.command(self._key, "ZREVRANGE", self._key, 0, 0, "WITHSCORES")
        )
        return int(float(last[1])) if last else 0

    async def since(self, score: int) -> tuple[int, list[Change]]:
        """A page of what came after `score`, oldest first, and the score to go on from; empty at the end."""
        flat = cast(
            "list[bytes]",
            await self._broker.command(
                self._key, "ZRANGEBYSCORE", self._key, f"({score}", "+inf", "WITHSCORES", "LIMIT", 0, _PAGE
            ),
        )
        changes = [change for member in flat[::2] for change in _read(member.decode())]
        return (int(float(flat[-1])) if flat else score), changes

    async def _announce(self, change: str) -> None:
        await self._broker.run("announce", self._key, change, KEPT_SECONDS, KEPT_MAX)


def _read(member: str) -> Iterator[Change]:
    """One announcement; of a kind that a later version made, nothing."""
    kind, _, rest = member.partition(" ")
    if kind == "limits":
        yield LimitsChanged()
    elif kind == "tenant":
        yield TenantChanged(rest)
    elif kind == "revoked":
        at, tenant, subject = rest.split(" ", 2)
        yield Revoked(tenant, subject, int(at))
