"""`orchestrator worker test`: one task of an agent, from the shell and without Redis."""

import asyncio
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, cast

import click
import msgspec

from orchestrator.cli import worker_target
from orchestrator.cli.examples import example
from orchestrator.protocol.tiers import TIERS, Tier
from orchestrator.settings import Settings
from orchestrator.telemetry import configure_logging
from orchestrator.worker.reports import Question
from orchestrator.worker.trial import Callback, Outcome, Sample, Trial


class _Json(click.ParamType[dict[str, Any], str]):
    """A JSON object."""

    name = "json"

    def convert(
        self, value: dict[str, Any] | str, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, Any]:
        """What the text spells; wrong use where it is not that."""
        try:
            return value if isinstance(value, dict) else msgspec.json.decode(value, type=dict[str, Any])
        except msgspec.DecodeError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


@click.command(
    "test",
    epilog=example(
        "orchestrator worker test agents:worker 'two words'",
        "orchestrator worker test agents:worker '1 + 2' --agent agent-sum --json",
        "orchestrator worker test agents:worker 'Delete it' --answer true",
        'cat letter.txt | orchestrator worker test agents:worker --metadata \'{"lang": "de"}\'',
    ),
)
@click.argument("target", metavar="MODULE:WORKER")
@click.argument("message", required=False)
@click.option("--agent", metavar="ID", help="Which agent or context; needed where there are several.")
@click.option(
    "--tier", type=click.Choice(TIERS), default="professional", show_default=True, help="Of the tenant."
)
@click.option("--user-info", metavar="JSON", type=_Json(), help="An object for `user_info`.")
@click.option("--metadata", metavar="JSON", type=_Json(), help="An object for `metadata`.")
@click.option("--attempt", type=click.IntRange(min=1), default=1, help="To see what a second attempt does.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=300.0,
    show_default=True,
    help="Seconds until the task's deadline.",
)
@click.option(
    "--answer",
    "answers",
    metavar="JSON",
    multiple=True,
    help="The answer to a question of the agent, JSON or else text; again for the next question.",
)
@click.option("--json", "as_json", is_flag=True, help="The ending as JSON on stdout, and nothing else there.")
def worker_test(
    target: str,
    message: str | None,
    *,
    agent: str | None,
    tier: Tier,
    user_info: dict[str, Any] | None,
    metadata: dict[str, Any] | None,
    attempt: int,
    timeout: float,
    answers: Sequence[str],
    as_json: bool,
) -> None:
    """Run one task of the worker and show what comes of it.

    Neither Redis nor the service is needed. The answer goes to stdout as it comes, progress and
    faults to stderr. Without MESSAGE the message is read from stdin. Exit code 0: the task was
    completed; 1: it failed or took too long.
    """
    settings = Settings.from_environment(os.environ)
    configure_logging("WARNING", settings.log_format, settings.domain_name)
    sample = Sample(
        message=_message(message),
        agent=agent,
        tier=tier,
        user_info=user_info or {},
        metadata=metadata or {},
        attempt=attempt,
        timeout=timeout,
    )
    viewer = _Viewer(answers, as_json=as_json)
    try:
        trial = Trial(worker_target.found(target), sample, answer=viewer.answer, on_callback=viewer.see)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    outcome = asyncio.run(trial.run())
    viewer.end(outcome, trial.exception)
    if outcome.status != "completed":
        raise click.exceptions.Exit(1)


def _message(given: str | None) -> str:
    if given is None and sys.stdin.isatty():
        raise click.UsageError("say what the agent is told: a MESSAGE, or text on stdin")
    text = sys.stdin.read().strip() if given is None else given
    if not text:
        raise click.UsageError("the message is empty")
    return text


class _Viewer:
    """What a browser would be: shows text as it comes, and answers questions."""

    def __init__(self, answers: Sequence[str], *, as_json: bool) -> None:
        self._answers = [_read(answer) for answer in answers]
        self._as_json = as_json
        self._text = ""

    def see(self, callback: Callback) -> None:
        """One callback, as it comes."""
        match callback["status"]:
            case "streaming":
                self._text += callback["result"]["delta"]
                click.echo(callback["result"]["delta"], nl=False, err=self._as_json)
            case "progress":
                self._finish_line()
                more = dict(callback["result"])
                kind = more.pop("kind")
                click.echo(f"[{kind}] {_json(more)}" if more else f"[{kind}]", err=True)
            case _:
                pass

    async def answer(self, question: Question) -> Any:
        """The next of the answers that were given; else what is typed, UNSET where nobody can."""
        self._finish_line()
        click.echo(f"[asks] {question.prompt}", err=True)
        if self._answers:
            answer = self._answers.pop(0)
            click.echo(f"[answer] {_json(answer)}", err=True)
            return answer
        if not sys.stdin.isatty():
            click.echo("[answer] none: give one with --answer", err=True)
            return msgspec.UNSET
        return _read(await asyncio.to_thread(click.prompt, "JSON or text", err=True))

    def end(self, outcome: Outcome, raised: BaseException | None) -> None:
        """The ending, and the traceback where the agent has a fault."""
        self._finish_line()
        if raised:
            click.echo("".join(traceback.format_exception(raised)), err=True, nl=False)
        if self._as_json:
            click.echo(_json(_ending(outcome)))
        elif outcome.status != "completed":
            error = outcome.result["error"]
            again = "; it would be tried again" if outcome.retry else ""
            click.echo(f"{outcome.status} ({error['code']}): {error['message']}{again}", err=True)
        elif not self._text:
            response = outcome.response
            click.echo(response if isinstance(response, str) else _json(outcome.result))

    def _finish_line(self) -> None:
        if self._text and not self._text.endswith("\n"):
            self._text += "\n"
            click.echo(err=self._as_json)


def _ending(outcome: Outcome) -> dict[str, Any]:
    ending = cast("dict[str, Any]", msgspec.to_builtins(outcome))
    return {name: value for name, value in ending.items() if name not in ("chunks", "progress")}


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _read(text: str) -> Any:
    """JSON, or else the text itself."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
