"""The README's way to tokens and to administration works as it is written."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from tests.browser.deployment import deployment
from tests.pages import blocks, code, page, rows, section
from tests.servers import OrchestratorServer, base_environment
from tests.test_docs_frontends import curl

from orchestrator.cli.main import COMMANDS

SHELL: Final = [block.code.replace("\\\n", " ") for block in blocks(page("README.md"))]
(MAKE_SECRET, _), (READ_SECRET, MAKE_TOKEN, SEND), (MAKE_ADMIN, CREATE, AUDIT) = (
    block.splitlines() for block in SHELL if "data/secret" in block or "/api/admin" in block
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the README's `data/secret`, made by its command."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "data").mkdir()
    bash(MAKE_SECRET, folder)
    assert (folder / "data" / "secret").stat().st_mode & 0o077 == 0, "others may read it"
    return folder


@pytest.fixture(scope="module")
def service(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrchestratorServer]:
    """The demo with that secret."""
    settings = {"ORCHESTRATOR_JWT_SECRET": (home / "data" / "secret").read_text().strip()}
    with deployment(tmp_path_factory.mktemp("service"), settings) as running:
        yield running


def bash(commands: str, folder: Path) -> str:
    """What these commands print; `orchestrator` is the one that is tested."""
    runs = f"{sys.executable} -m orchestrator"
    return subprocess.run(
        ["bash", "-euc", commands.replace(".venv/bin/orchestrator", runs)],
        cwd=folder,
        env=base_environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.strip()


def test_a_token_for_ada(home: Path, service: OrchestratorServer) -> None:
    """The command's token is good for the message below it; another text opens nothing."""
    token = bash(f"{READ_SECRET}\n{MAKE_TOKEN}\necho $TOKEN", home)
    assert curl(service, SEND, TOKEN=token).status_code == 202
    assert curl(service, SEND, TOKEN="another").status_code == 401


def test_an_administrator(home: Path, service: OrchestratorServer) -> None:
    """The tenant is there, and the audit says who made it."""
    token = bash(f"{READ_SECRET}\n{MAKE_ADMIN}\necho $ADMIN", home)
    created = curl(service, CREATE, ADMIN=token)
    assert (created.status_code, created.json()["id"]) == (201, "acme")
    newest = curl(service, AUDIT, ADMIN=token).json()["entries"][0]
    assert (newest["actor"], newest["action"], newest["target"]) == (
        "token:operator",
        "tenants.create",
        "acme",
    )


@pytest.mark.parametrize("name", ["README.md", "README.es.md"])
def test_every_command_is_named(name: str) -> None:
    """The table of commands has each of them once, in both languages."""
    heading = "## Commands" if name == "README.md" else "## Comandos"
    cells = [row[0] for row in rows(section(page(name), heading))]
    assert sorted(word for cell in cells for word in code(cell)) == sorted(COMMANDS)
