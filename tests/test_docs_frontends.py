"""The commands and the script of docs/frontends.md do what the page says."""

import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import httpx
import pytest
from tests.browser.deployment import deployment
from tests.contract.socket_client import dial
from tests.pages import Block, blocks, page
from tests.security.minting import SECRET
from tests.servers import OrchestratorServer, base_environment
from tests.strict_json import strict_json
from tests.test_docs_readme import headers, local

GUIDE: Final = blocks(page("docs/frontends.md"))
GATEWAY_SECRET: Final = "planted-secret-of-the-gateway"
TOKENS: Final = {"ORCHESTRATOR_JWT_SECRET": SECRET}


def block(language: str, part: str) -> str:
    """The code of the guide that is in this language and has this in it."""
    (found,) = [given.code for given in GUIDE if given.language == language and part in given.code]
    return found.replace("\\\n", " ")


@pytest.fixture(scope="module")
def token_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrchestratorServer]:
    """The demo with tokens."""
    with deployment(tmp_path_factory.mktemp("tokens"), TOKENS) as running:
        yield running


@pytest.fixture
def gateway_service(tmp_path: Path) -> Iterator[OrchestratorServer]:
    """The demo behind a gateway."""
    with deployment(tmp_path, {"ORCHESTRATOR_GATEWAY_SECRET": GATEWAY_SECRET}) as running:
        yield running


@pytest.fixture
def open_service(tmp_path: Path) -> Iterator[OrchestratorServer]:
    """The demo on one's own machine, where nothing proves who calls."""
    with deployment(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def token() -> str:
    """What the guide's own command prints."""
    command = block("sh", "token create").splitlines()[0].partition("$(")[2].rstrip(")")
    program, *arguments = shlex.split(command)
    assert program == "orchestrator"
    return run("-m", program, *arguments, environment=TOKENS)


def run(*arguments: str, environment: Mapping[str, str], directory: Path | None = None) -> str:
    """What Python prints with these arguments."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env=base_environment() | dict(environment),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.strip()


def curl(server: OrchestratorServer, command: str, **variables: str) -> httpx.Response:
    """Send what the guide's `curl` sends, to `server`; without a body it is a GET."""
    for name, value in variables.items():
        command = command.replace(f"${name}", value)
    words = shlex.split(command)
    body = words[words.index("-d") + 1] if "-d" in words else None
    method = "GET" if body is None else "POST"
    return httpx.request(method, server.url + local(words[2]), headers=dict(headers(words)), content=body)


def test_a_message_with_a_token(token_service: OrchestratorServer, token: str) -> None:
    """The token of the command is good for the `curl` below it."""
    command = block("sh", "Bearer $TOKEN").splitlines()[1]
    assert curl(token_service, command, TOKEN=token).status_code == 202


def test_a_server_that_asks(token_service: OrchestratorServer, token: str, tmp_path: Path) -> None:
    """The script prints the agent's answer."""
    script = block("python", "async def main").replace("127.0.0.1:8008", f"127.0.0.1:{token_service.port}")
    (tmp_path / "ask.py").write_text(script)
    assert run("ask.py", directory=tmp_path, environment={"TOKEN": token}) == "You said: Hello there"


def test_behind_a_gateway(gateway_service: OrchestratorServer) -> None:
    """What the gateway passes on is accepted with the secret, and not without."""
    command = block("sh", "X-Gateway-Secret")
    accepted = curl(gateway_service, command, ORCHESTRATOR_GATEWAY_SECRET=GATEWAY_SECRET)
    refused = curl(gateway_service, command, ORCHESTRATOR_GATEWAY_SECRET="another")
    assert (accepted.status_code, refused.status_code) == (202, 401)


async def test_a_socket_that_states_who_it_is(open_service: OrchestratorServer) -> None:
    """Without a secret the address of the guide opens a socket."""
    (address,) = [given.code.strip() for given in GUIDE if is_address(given)]
    async with dial(address.replace("127.0.0.1:8008", f"127.0.0.1:{open_service.port}")) as socket:
        assert strict_json(await socket.recv())["type"] == "connection_ack"


def is_address(given: Block) -> bool:
    """Whether a block is the address of a socket."""
    return given.language == "text" and given.code.startswith("ws://")
