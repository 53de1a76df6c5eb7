"""The clock that experiments give to a replica."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.faults.deployment import SHIM
from tests.servers import base_environment


@pytest.mark.parametrize("ahead", [-3600, 0, 3600])
def test_it_is_wrong_by_what_the_file_says(tmp_path: Path, ahead: int) -> None:
    """A process with the shim on its path reads the time that its file asks for."""
    (tmp_path / "clock").write_text(str(ahead))
    env = base_environment() | {"PYTHONPATH": str(SHIM), "FAULTS_CLOCK": str(tmp_path / "clock")}
    told = subprocess.check_output([sys.executable, "-c", "import time; print(time.time())"], env=env)
    assert abs(float(told) - time.time() - ahead) < 60
