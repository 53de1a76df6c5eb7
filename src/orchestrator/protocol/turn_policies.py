"""What a message does to the others of its session that have no ending yet (contract §3)."""

from typing import Final, Literal, get_args

TurnPolicy = Literal["parallel", "queue", "reject", "interrupt", "latest", "merge", "steer"]

TURN_POLICIES: Final[tuple[TurnPolicy, ...]] = get_args(TurnPolicy)

ATTEMPTS_MAX: Final = 100
"""How many attempts an agent may be given at most."""
