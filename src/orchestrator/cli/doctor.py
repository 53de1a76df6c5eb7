"""`orchestrator doctor`: what is wrong, and what to do."""

import asyncio
import os
from typing import Final

import click

from orchestrator.cli.examples import example
from orchestrator.cli.listing import JSON_OPTION, show_json
from orchestrator.diagnosis.examination import examination
from orchestrator.diagnosis.examine import examine
from orchestrator.diagnosis.faults import Finding, Level
from orchestrator.settings import Settings

_LINE_MAX: Final = 600
_COLOURS: Final = {"ok": "green", "warn": "yellow", "fail": "red", "skip": "blue"}


@click.command(
    epilog=example(
        "orchestrator doctor",
        "orchestrator doctor --json | jq '.[] | select(.level == \"fail\")'",
        "orchestrator doctor && orchestrator serve",
    )
)
@JSON_OPTION
def doctor(as_json: bool) -> None:
    """Look at settings, database, Redis, replicas, queues and clocks, and say what is wrong and what to do.

    Run it with the service's environment. It is safe at any time: it changes nothing, asks each question
    for two seconds at most, and shows no secret. What needs Redis or the database is left out where that is away.

    \b
      ok    well
      warn  works, and somebody should know
      fail  does not work; below it stands the remedy
      skip  could not be looked at

    Behind a fault stands its code; docs/troubleshooting.md explains each. Exit code 0: nothing fails; 1: something
    does; 2: the settings are wrong, a line for each.
    """  # noqa: D301 - click looks for the character itself
    settings = Settings.from_environment(os.environ)
    findings = asyncio.run(_examined(settings, quiet=as_json))
    if as_json:
        show_json(findings)
    if any(finding.level == "fail" for finding in findings):
        raise click.exceptions.Exit(1)


async def _examined(settings: Settings, *, quiet: bool) -> list[Finding]:
    findings: list[Finding] = []
    page = _Page()
    async with examination(settings) as exam:
        async for finding in examine(exam):
            findings.append(finding)
            if not quiet:
                page.show(finding)
    page.end()
    return findings


class _Page:
    """Shows findings as they come; checks that could not be made for one reason share a line."""

    def __init__(self) -> None:
        self._skipped: list[str] = []
        self._why = ""

    def show(self, finding: Finding) -> None:
        """A line, and the remedy below it."""
        if finding.level != "skip":
            self.end()
            code = f" [{finding.code}]" if finding.code else ""
            _print(finding.level, finding.check, _line(finding.what) + code)
            if finding.remedy:
                click.echo(f"{'':20}-> {finding.remedy}")
            return
        if finding.what != self._why:
            self.end()
        self._why = finding.what
        self._skipped.append(finding.check)

    def end(self) -> None:
        """Nothing is held back after this."""
        if self._skipped:
            first, *others = self._skipped
            more = f" (also {', '.join(others)})" if others else ""
            _print("skip", first, _line(self._why) + more)
        self._skipped = []


def _print(level: Level, check: str, text: str) -> None:
    click.echo(f"{click.style(f'{level:<4}', fg=_COLOURS[level])}  {check:<12}  {text}")


def _line(text: str) -> str:
    """One line, whatever lay in Redis: names there are anybody's."""
    shown = "".join(sign if sign.isprintable() else "?" for sign in text)
    return shown if len(shown) <= _LINE_MAX else f"{shown[:_LINE_MAX]} …"
