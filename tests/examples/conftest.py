"""The examples run as their README says, against the other side of their queues."""

import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from tests.servers import SOURCE, base_environment
from tests.worker.service import Service

from orchestrator.embedded import ValkeyServer

EXAMPLES = SOURCE.parent / "examples"

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
async def service(valkey: ValkeyServer) -> AsyncIterator[Service]:
    """The service's side of the queues."""
    async with Service(valkey.port) as service:
        yield service


@pytest.fixture
def start(valkey: ValkeyServer) -> Iterator[Start]:
    """Starts a program in the folder of the examples; it is ended with the test."""
    processes: list[subprocess.Popen[str]] = []

    def start(*command: str | Path, folder: Path = EXAMPLES, **environment: str) -> subprocess.Popen[str]:
        everything = base_environment() | {"REDIS_URL": valkey.url} | environment
        process = subprocess.Popen(command, cwd=folder, env=everything, text=True, stdout=subprocess.PIPE)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()
