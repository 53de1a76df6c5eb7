"""The root of all commands: what they share, and what `orchestrator --help` teaches."""

import importlib
from collections.abc import Mapping
from typing import IO, Any, Final

import click

from orchestrator import current_version
from orchestrator.errors import OrchestratorError, SettingsError

# What each file beside this one is for. Help is printed from here, so that asking for it does not
# load a database driver and a web server.
COMMANDS: Final[Mapping[str, str]] = {
    "dev": "Start everything on this machine, with demo data.",
    "serve": "Start the service on the Redis and database of the settings.",
    "worker": "Run agents written in Python.",
    "settings": "Show every setting, its value and where it came from.",
    "doctor": "Say what is wrong with the deployment, and what to do.",
    "db": "Bring the database's schema up to date.",
    "tenants": "Create, list, change, suspend and resume tenants.",
    "agents": "Create, list and grant agents.",
    "collections": "Create, list and grant collections.",
    "workflows": "Create, list and grant workflows.",
    "limits": "Show and change what tenants of a tier may use.",
    "token": "Make tokens for development, and revoke those of a user.",
    "audit": "Show who changed what.",
    "queues": "Show what waits for agents and for delivery.",
    "tasks": "Show, cancel or follow a task.",
    "dead": "Show the callbacks that could not be delivered, and why.",
    "bench": "Load a running deployment, and plan a larger one.",
}


class _SettingsFault(click.ClickException):
    """Ends the command as wrong use does, with a line for each fault."""

    exit_code = 2

    def __init__(self, error: SettingsError) -> None:
        super().__init__(str(error))
        self.faults: Final = error.faults

    def show(self, file: IO[Any] | None = None) -> None:
        for fault in self.faults:
            click.echo(fault, file=file, err=file is None)


class Commands(click.Group):
    """The commands of the table, each imported only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, in the order in which one meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command object that the file of this name exposes."""
        if cmd_name not in COMMANDS:
            return None
        return getattr(importlib.import_module(f"orchestrator.cli.{cmd_name}"), cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; whatever this package raises on purpose becomes an exit code.

        Exit codes: 0 done, 1 it failed and said why, 2 wrong use or settings, 130 Ctrl-C.
        """
        try:
            return super().invoke(ctx)
        except SettingsError as error:
            raise _SettingsFault(error) from error
        except OrchestratorError as error:
            raise click.ClickException(str(error)) from error
        except BrokenPipeError:
            raise  # click ends quietly when the reader of a pipe has gone
        except OSError as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            ctx.exit(130)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(current_version(), prog_name="orchestrator")
def main() -> None:
    """The front door of a multi-tenant agent platform.

    \b
      POST /api/chat/send -->  execution:{context_id}:{tier}    --> agent
      WS /ws/{session_id} <--  orchestrator:{tenant}:callbacks  <-- agent

    Every accepted message ends in exactly one ending, and the browser can prove that it saw it.

    \b
    First steps:
      orchestrator dev                              chat: http://127.0.0.1:8008

    \b
    With a Redis and a database of your own (REDIS_URL, DATABASE_URL):
      orchestrator settings                         what is set, and from where
      orchestrator db upgrade                       the schema
      orchestrator tenants create acme --tier free  a customer
      orchestrator agents create 123 --tenant acme  what answers: agent-123
      orchestrator serve                            the service
      orchestrator worker MODULE:WORKER             the agent's side
    """  # noqa: D301 - click looks for the character itself
