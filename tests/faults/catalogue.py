"""Every fault there is, by kind."""

from typing import Final

from tests.faults import database_faults, network_faults, process_faults, valkey_faults
from tests.faults.fault import Fault

FAULTS: Final[tuple[type[Fault], ...]] = (
    *process_faults.FAULTS,
    *valkey_faults.FAULTS,
    *database_faults.FAULTS,
    *network_faults.FAULTS,
)
