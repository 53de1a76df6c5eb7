"""/openapi.json is true: generated requests get no 5xx and no answer that it does not describe.

In the suite few requests a route, the same each time; `make fuzz` makes many more, and others at each run.
"""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from tests.contract.client import Tenant
from tests.contract.conftest import StartService
from tests.security.minting import HS256, bearer
from tests.servers import OrchestratorServer

from orchestrator.store.store import Store

EXAMPLES: Final = int(os.environ.get("FUZZ_EXAMPLES", "0"))
FEW: Final = 3
SECONDS: Final = 110 + 20 * EXAMPLES
STREAM: Final = "/api/chat/sessions/{session_id}/events"

# What the document takes as valid, the service may refuse: the most that `timeout` may be is a setting.
LEFT_OUT: Final = "positive_data_acceptance"

DEMO: Final = Tenant("tenant-456", "professional", "agent-123")
"""The names of the document's examples, so that these are accepted."""
AMPLE: Final = {"requests_per_minute": 1_000_000, "max_outstanding": 1_000_000}

pytestmark = pytest.mark.timeout(SECONDS)


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A database of its own for each server: administrators change limits for everybody."""
    folder = tmp_path_factory.mktemp("fuzz")
    return {mode: f"sqlite+aiosqlite:///{folder}/{mode}.db" for mode in ("token", "header")}


@pytest.fixture(scope="module")
def by_token(service_with: StartService, databases: dict[str, str]) -> OrchestratorServer:
    """A server that believes tokens, with the tenant of the examples."""
    server = service_with(database_url=databases["token"])
    asyncio.run(furnish(databases["token"]))
    return server


@pytest.fixture(scope="module")
def by_header(service_with: StartService, databases: dict[str, str]) -> OrchestratorServer:
    """A server that believes headers, with the tenant of the examples."""
    server = service_with(database_url=databases["header"], jwt_secret="", jwt_leeway="")
    asyncio.run(furnish(databases["header"]))
    return server


async def furnish(database_url: str) -> None:
    """The tenant of the examples and its agent."""
    async with Store(database_url) as store:
        await store.create_tenant(DEMO.id, "professional", AMPLE)
        await store.create_context(DEMO.id, "agent", DEMO.agent)


def attack(
    server: OrchestratorServer, folder: Path, *options: str, headers: dict[str, str] | None = None
) -> None:
    """Generates requests from the server's own document and sends them; fails with what was found."""
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"]
    for name, value in (headers or {}).items():
        command += ["--header", f"{name}: {value}"]
    command += ["--max-examples", str(EXAMPLES or FEW), "--request-timeout", "10", "--no-color"]
    command += ["--warnings", "off", *([] if EXAMPLES else ["--seed", "1", "--no-shrink"]), *options]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "unexpected_error" not in server.log
    assert "Traceback" not in server.log


def test_with_every_right(by_token: OrchestratorServer, tmp_path: Path) -> None:
    """An administrator: examples, boundaries and bad data of every route, methods that there are not, no token."""
    headers = bearer(HS256.of(DEMO, "root", scope="admin", exp=4_102_444_800))
    options = [
        "--phases",
        "examples,coverage,fuzzing",
        "--exclude-checks",
        LEFT_OUT,
        "--exclude-path",
        STREAM,
    ]
    attack(by_token, tmp_path, *options, headers=headers)


def test_as_a_user(by_token: OrchestratorServer, tmp_path: Path) -> None:
    """A user: the chat, and nothing of administration."""
    headers = bearer(HS256.of(DEMO, exp=4_102_444_800))
    options = ["--phases", "examples,fuzzing", "--exclude-checks", LEFT_OUT, "--exclude-path", STREAM]
    attack(by_token, tmp_path, *options, headers=headers)


def test_streams_that_are_refused(by_token: OrchestratorServer, tmp_path: Path) -> None:
    """The one route whose answer does not end, with a token for which it does: one that reads figures."""
    headers = bearer(HS256.mint(sub="ops", scope="metrics", exp=4_102_444_800))
    options = [
        "--phases",
        "examples,coverage,fuzzing",
        "--exclude-checks",
        LEFT_OUT,
        "--include-path",
        STREAM,
    ]
    attack(by_token, tmp_path, *options, headers=headers)


def test_in_header_mode(by_header: OrchestratorServer, tmp_path: Path) -> None:
    """A caller behind a gateway; here administration is 403 to everybody, with a token or without."""
    left_out = f"{LEFT_OUT},missing_required_header"
    options = ["--phases", "examples,fuzzing", "--exclude-checks", left_out, "--exclude-path", STREAM]
    attack(by_header, tmp_path, *options)
