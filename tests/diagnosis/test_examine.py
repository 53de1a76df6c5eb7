"""The order of checks, and what becomes of one that cannot be made."""

import asyncio

import pytest
from tests.diagnosis.conftest import codes
from tests.diagnosis.strange_server import strange_server
from tests.environment import read

from orchestrator.broker.connection import Refused, Unavailable
from orchestrator.diagnosis import examine
from orchestrator.diagnosis.examination import Examination, examination
from orchestrator.diagnosis.examine import CHECKS, Check
from orchestrator.diagnosis.faults import Finding, well
from orchestrator.settings import Settings
from orchestrator.store.errors import StoreUnavailable


async def examined(settings: Settings) -> list[Finding]:
    """Everything that is found."""
    async with examination(settings) as exam:
        return [finding async for finding in examine.examine(exam)]


async def ends_never(_exam: Examination) -> list[Finding]:
    """A check that waits for an answer that does not come."""
    await asyncio.Event().wait()
    return []


async def is_well(_exam: Examination) -> list[Finding]:
    """A check that finds nothing."""
    return [well("all is well")]


async def test_one_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check is given up after its time, and the next one is made."""
    monkeypatch.setattr(examine, "CHECK_SECONDS", 0.05)
    monkeypatch.setattr(examine, "CHECKS", (Check("slow", ends_never), Check("next", is_well)))
    findings = await examined(read())
    assert codes(findings) == ["no_answer", ""]
    assert [finding.check for finding in findings] == ["slow", "next"]


ERRORS: list[tuple[Exception, str, str]] = [
    (Refused("NOPERM no"), "skip", ""),
    (Unavailable("gone"), "fail", "redis_unreachable"),
    (StoreUnavailable("h/x", "gone"), "fail", "database_unreachable"),
    (ValueError("rubbish"), "skip", ""),
]


@pytest.mark.parametrize(
    ("error", "level", "code"), ERRORS, ids=[type(error).__name__ for error, *_ in ERRORS]
)
async def test_one_that_breaks(
    monkeypatch: pytest.MonkeyPatch, error: Exception, level: str, code: str
) -> None:
    """Whatever goes wrong in a check is told as what it means, and the next one is made."""

    async def breaks(_exam: Examination) -> list[Finding]:
        raise error

    monkeypatch.setattr(examine, "CHECKS", (Check("broken", breaks), Check("next", is_well)))
    first, second = await examined(read())
    assert (first.level, first.code, second.level) == (level, code, "ok")


async def test_what_is_not_there_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that needs Redis or the database is left out where that did not answer."""
    checks = tuple(Check(needs, is_well, needs) for needs in ("", "server", "redis", "database"))
    monkeypatch.setattr(examine, "CHECKS", checks)
    assert [finding.level for finding in await examined(read())] == ["ok", "skip", "skip", "skip"]


def test_names_are_their_own() -> None:
    """No two checks have one name."""
    assert len({check.name for check in CHECKS}) == len(CHECKS)


async def test_a_server_that_answers_rubbish() -> None:
    """A server that is none of ours ends nothing: every check has a line."""
    async with strange_server("hello\n") as url:
        findings = await examined(read(REDIS_URL=url, ENABLE_ACCESS_VALIDATION="false"))
    assert {finding.check for finding in findings} == {check.name for check in CHECKS}
