"""Every fault there is, by kind."""

from typing import Final

from tests.faults import process_faults
from tests.faults.fault import Fault

FAULTS: Final[tuple[type[Fault], ...]] = (*process_faults.FAULTS,)
