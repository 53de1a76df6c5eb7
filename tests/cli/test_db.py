"""`orchestrator db`."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner, Result

from orchestrator.cli.main import main

Command = Callable[..., Result]

SOURCE: Final = Path(__file__).resolve().parent.parent.parent / "src"


def test_status_and_upgrade(without_redis: Command) -> None:
    """The status names the command that mends it, and is silent about Redis, which it does not need."""
    empty = without_redis("db", "status")
    assert empty.exit_code == 1
    assert empty.stderr.endswith("is empty: run `orchestrator db upgrade`.\n")

    assert without_redis("db", "upgrade").stdout == "the schema is now current\n"
    assert without_redis("db", "upgrade").stdout == "the schema is current already\n"
    assert without_redis("db", "status").stdout == "the schema is current\n"


def test_a_database_that_is_away_is_one_line(tmp_path: Path) -> None:
    """A file that cannot be opened ends the process with 1, one line, and no thread that complains."""
    ended = subprocess.run(
        [sys.executable, "-m", "orchestrator", "tenants", "list"],
        env={"PYTHONPATH": str(SOURCE), "PATH": os.environ["PATH"]}
        | {"DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/nowhere/orchestrator.db"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 1
    assert ended.stderr == (
        f"Error: The database at {tmp_path}/nowhere/orchestrator.db is unavailable: "
        "unable to open database file.\n"
    )


def test_a_database_that_nobody_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without DATABASE_URL a command does not make an empty database of its own, beside the service's."""
    monkeypatch.chdir(tmp_path)
    unset = {"DATABASE_URL": None}
    for arguments in (("tenants", "list"), ("tenants", "create", "acme", "--tier", "free"), ("audit",)):
        ended = CliRunner().invoke(main, arguments, env=unset)
        assert ended.exit_code == 1
        assert "DATABASE_URL is not set" in ended.stderr
    assert list(tmp_path.iterdir()) == []

    assert CliRunner().invoke(main, ("db", "upgrade"), env=unset).exit_code == 0
    assert CliRunner().invoke(main, ("tenants", "list"), env=unset).exit_code == 0
