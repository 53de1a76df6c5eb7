"""Every key and channel, spelled in one place (docs/redis-keys.md).

A tenant's keys carry its whole callback queue name as hash tag, `{orchestrator:acme:callbacks}:…`, so they lie in the
slot of that plain list and one script may touch them all. The scripts in `lua/` build them the same way. Keys of the
deployment begin with `{<domain>`. None of ours begins with the callback prefix, so none rings the doorbell.
"""

import zlib
from typing import Final

from orchestrator.protocol.tiers import Tier

AGENDA_PARTS: Final = 16

PERMANENT: Final[tuple[str, ...]] = (
    "execution:*",  # a task waits until an agent takes it
    "[!{]*:callbacks",  # the same for callbacks
    "{*:agenda:*}",  # when to look at which tenant
    "{*}:totals",  # sums of the deployment since it began
)
"""Patterns of the keys that live without an expiry; every other key has one."""


class Keys:
    """The names of one deployment."""

    def __init__(self, domain: str, prefix: str) -> None:
        self._domain = domain
        self.prefix: Final = prefix
        self.doorbell_prefix: Final = f"{prefix}:"
        self.replicas: Final = f"{{{domain}}}:replicas"
        self.totals: Final = f"{{{domain}}}:totals"
        self.queues: Final = f"{{{domain}}}:queues"
        self.changes: Final = f"{{{domain}}}:changes"
        self.prefix_owner: Final = f"{{prefix:{prefix}}}:owner"

    def callbacks(self, tenant: str) -> str:
        """The list on which agents report; also the first key of every script of the tenant."""
        return f"{self.prefix}:{tenant}:callbacks"

    def tenant_of(self, queue: str) -> str | None:
        """The tenant whose callback queue this is, or None."""
        if not (queue.startswith(self.doorbell_prefix) and queue.endswith(":callbacks")):
            return None
        return queue[len(self.doorbell_prefix) : -len(":callbacks")]

    def of_tenant(self, tenant: str, name: str) -> str:
        """A key in the tenant's slot."""
        return f"{{{self.callbacks(tenant)}}}:{name}"

    def task(self, tenant: str, task_id: str) -> str:
        """Hash: the record of a task."""
        return self.of_tenant(tenant, f"task:{task_id}")

    def cancel(self, tenant: str, task_id: str) -> str:
        """List: exists once the task is cancelled."""
        return self.of_tenant(tenant, f"cancel:{task_id}")

    def events(self, tenant: str) -> str:
        """Channel: batches of the tenant's events."""
        return self.of_tenant(tenant, "events")

    def agenda(self, tenant: str) -> str:
        """Sorted set: the tenant's part of the agenda."""
        return self.agenda_part(zlib.crc32(tenant.encode()) % AGENDA_PARTS)

    def agenda_part(self, part: int) -> str:
        """Sorted set: tenant → next look, microseconds."""
        return f"{{{self._domain}:agenda:{part}}}"

    def replica(self, name: str) -> str:
        """String: what a replica tells of itself, for a few seconds."""
        return f"{{{self._domain}}}:replica:{name}"

    def ticket(self, digest: str) -> str:
        """String: what a ticket stands for; `:stream` behind it once a stream of events came with it."""
        return f"{{{self._domain}:ticket:{digest}}}"

    def bell_probe(self, replica: str) -> str:
        """A key under the callback prefix, written to hear our own doorbell."""
        return f"{self.doorbell_prefix}probe-{replica}"


def execution_queue(context_id: str, tier: Tier) -> str:
    """The list on which tasks wait for an agent."""
    return f"execution:{context_id}:{tier}"


def place_of(queue: str) -> tuple[str, Tier]:
    """The context and the tier whose queue this is."""
    _, context, tier = queue.split(":")
    return context, tier  # type: ignore[return-value]
