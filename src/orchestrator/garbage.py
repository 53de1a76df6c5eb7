"""How often Python looks for garbage in cycles."""

import gc
from typing import Final

_YOUNG: Final = 10_000
"""New objects between two looks; with Python's 700 a busy process spends a fifth of its time on looking."""
_OLDER: Final = 20


def collect_rarely() -> None:
    """Looks seldom from now on, and never again at what is there already: it was loaded, and stays."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _OLDER, _OLDER)
