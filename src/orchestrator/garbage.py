"""How often Python looks for garbage in cycles."""

import gc
from typing import Final

_COLLECTING: Final = (10_000, 2, 500)
"""New objects until the collector looks at them, and how often it looks at those of a while and at all.

Measured: walking over everything again and again, every 700 new objects, was a seventh of what a send costs, and a
fifth of what a worker does for a task. Those of a while are few, for nothing else is done meanwhile: 200 000 of them,
those of 4 000 new sockets, were a pause of 40 to 60 ms; of 20 000 it is 8.
"""


def collect_rarely() -> None:
    """Looks seldom from now on, and never again at what is there already: it was loaded, and stays."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTING)
