"""How often Python looks for garbage in cycles."""

import gc
from typing import Final

_COLLECTING: Final = (10_000, 5, 150)
"""New objects until the collector looks at them, and how often it looks at those of a while and at all.

Measured: walking over everything again and again, every 700 new objects, was a seventh of what a send costs, and a
fifth of what a worker does for a task. Nothing else is done while it looks: with 20 in place of 5 it looked at up to
220 000 objects of a while, those of 4 000 new sockets, which took 40 to 60 ms; at up to 70 000 it takes 14.
"""


def collect_rarely() -> None:
    """Looks seldom from now on, and never again at what is there already: it was loaded, and stays."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTING)
