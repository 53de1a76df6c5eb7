"""The root command: what it teaches, what it loads and how it ends."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import click
import pytest
from click.testing import CliRunner

from orchestrator.cli.main import COMMANDS, main
from orchestrator.errors import OrchestratorError, SettingsError

SOURCE: Final = Path(__file__).resolve().parent.parent.parent / "src"


def ending_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    """The exit code of a command that raises `error`."""

    @click.command()
    def command() -> None:
        raise error

    def get_command(_ctx: click.Context, _name: str) -> click.Command:
        return command

    monkeypatch.setattr(main, "get_command", get_command)
    return CliRunner().invoke(main, ["dev"]).exit_code


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """The command as its own process, with nothing in the environment but `environ`."""
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE)} | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_teaches_without_loading_anything_heavy() -> None:
    """`--help` shows both paths, the first steps and every command, without a database or web library."""
    code = (
        "import sys\nfrom orchestrator.cli.main import main\nmain(['--help'], standalone_mode=False)\n"
        "print(sorted({'sqlalchemy', 'redis', 'uvicorn', 'starlette', 'openai'} & set(sys.modules)))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert "POST /api/chat/send" in shown
    assert "orchestrator dev" in shown
    assert all(f"\n  {name} " in shown for name in COMMANDS)
    assert shown.endswith("[]\n")


def test_the_picture_of_the_help_keeps_its_lines() -> None:
    """Each of the two paths stands on a line of its own, within 80 columns, and no mark of layout is shown."""
    result = CliRunner().invoke(main, ["--help"], terminal_width=80)
    lines = [line.strip() for line in result.output.splitlines()]

    assert "\\b" not in result.output
    assert "\b" not in result.output
    assert "POST /api/chat/send -->  execution:{context_id}:{tier}    --> agent" in lines
    assert "WS /ws/{session_id} <--  orchestrator:{tenant}:callbacks  <-- agent" in lines
    assert "orchestrator serve                            the service" in lines
    assert max(map(len, result.output.splitlines())) <= 80


@pytest.mark.parametrize("name", COMMANDS)
def test_every_listed_command_explains_itself(name: str) -> None:
    """Each command of the table exists under that name and answers `--help`."""
    result = CliRunner().invoke(main, [name, "--help"])

    assert result.exit_code == 0
    assert f"Usage: main {name}" in result.output


def test_an_unknown_command_is_wrong_use() -> None:
    """A command that does not exist ends with exit code 2."""
    assert CliRunner().invoke(main, ["nope"]).exit_code == 2


def test_faulty_settings_end_with_2_and_a_line_each() -> None:
    """Bad settings end any command with exit code 2, one line on stderr for each, and nothing else."""
    result = run("settings", ORCHESTRATOR_PORT="x", ORCHESTRATOR_LOG_LEVEL="y")

    assert result.returncode == 2
    assert result.stdout == ""
    assert [line.partition("=")[0] for line in result.stderr.splitlines()] == [
        "ORCHESTRATOR_PORT",
        "ORCHESTRATOR_LOG_LEVEL",
    ]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError(("x",)), 2),
        (OrchestratorError("no"), 1),
        (ConnectionRefusedError("no"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_what_a_command_raises_becomes_an_exit_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Expected failures end with one line and a code, never with a traceback; Ctrl-C ends with 130."""
    assert ending_with(monkeypatch, error) == code


def test_a_reader_that_has_gone_is_no_fault_of_ours() -> None:
    """`orchestrator settings | head -0` ends without a traceback."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as pipe:  # noqa: PTH123 - a descriptor has no path
        result = subprocess.run(
            [sys.executable, "-m", "orchestrator", "settings"],
            env={"PYTHONPATH": str(SOURCE)},
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )

    assert "Traceback" not in result.stderr


def test_settings_are_listed_with_their_sources() -> None:
    """`settings` prints every setting, its source and its value, secrets masked; warnings go to stderr."""
    result = run(
        "settings", REDIS_URL="redis://u:hunter2@h/0", ORCHESTRATOR_LEASE="7", ORCHESTRATOR_LEESE="7"
    )

    lines = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines()}
    assert result.returncode == 0
    assert lines["REDIS_URL"] == ["environment", "redis://u:***@h/0"]
    assert lines["ORCHESTRATOR_LEASE"] == ["environment", "7"]
    assert lines["ORCHESTRATOR_PORT"] == ["default", "8008"]
    assert "did you mean ORCHESTRATOR_LEASE?" in result.stderr


def test_settings_are_listed_for_programs_too() -> None:
    """`settings --json` prints a JSON array of name, value and source."""
    rows = json.loads(run("settings", "--json", ORCHESTRATOR_GATEWAY_SECRET="hunter2").stdout)

    assert {"name": "ORCHESTRATOR_GATEWAY_SECRET", "value": "***", "source": "environment"} in rows
    assert {"name": "ORCHESTRATOR_PORT", "value": 8008, "source": "default"} in rows


def test_the_version_is_told() -> None:
    """`--version` names the program and its version."""
    assert CliRunner().invoke(main, ["--version"]).output.startswith("orchestrator, version ")
