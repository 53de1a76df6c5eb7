"""Which servers a module's tests run on."""

from typing import Final

import pytest

BOTH: Final = pytest.mark.parametrize("redis_server", ["single", "cluster"], indirect=True, scope="session")
"""As `pytestmark`: every test of the module runs on a single Valkey and on one in cluster mode."""
