"""How an agent that is part of a peer answers: it is told by the message itself."""

import msgspec


class Script(msgspec.Struct, frozen=True, omit_defaults=True):
    """So many pieces, each `delta`; with `stamp` it begins with 20 digits, `time.perf_counter_ns()`, and a space."""

    chunks: int
    delta: str
    every_ms: float = 0
    """From one piece to the next; 0 is as fast as it can."""
    stamp: bool = False

    @property
    def message(self) -> str:
        """What is sent to such an agent."""
        return msgspec.json.encode(self).decode()
