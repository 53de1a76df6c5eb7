"""What a deployment shall carry, and what it may be built of."""

import msgspec

GIB = 1024**3


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """The inputs of a plan; the commands take their options and defaults from here."""

    sockets: int = 10_000_000
    events_per_second: float = 1_000_000
    events_per_message: float = 50
    messages_per_second: float | None = None
    """None: as many as make those events."""
    tenants: int = 10_000
    bytes_per_event: float = 300
    """A frame as it goes over the wire."""
    bytes_per_answer: float = 1_000
    answer_seconds: float = 10
    """From the message to its ending."""
    session_seconds: float = 3_600
    """How long a conversation goes on."""
    resume_seconds: float = 3_600
    ledger_seconds: float = 86_400
    deploy_seconds: float = 600
    """In which every socket comes back once."""
    wait_seconds: float = 0.02
    """How long an event may wait for others of its tenant."""
    headroom: float = 0.4
    """Part of each core, each memory and each line that is left free."""
    cores: int = 8
    memory_gib: float = 4
    """For each process of the service."""
    shard_gib: float = 32
    gbit: float = 10
    """Of a machine's line, and of a shard's."""
    processes_per_tenant: int = 0
    """Where a balancer keeps a tenant's sockets together: on so many processes at most; 0: they are anywhere."""
    dispatched: bool = True
    """Whether agents are workers of the SDK, which the fair dispatch serves."""

    @property
    def messages(self) -> float:
        """Messages a second."""
        if self.messages_per_second is None:
            return self.events_per_second / self.events_per_message
        return self.messages_per_second

    @property
    def usable(self) -> float:
        """The part of anything that may be used."""
        return 1 - self.headroom

    @property
    def usable_us(self) -> float:
        """µs of each second of a core that may be used."""
        return 1_000_000 * self.usable
