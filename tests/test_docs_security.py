"""docs/security.md says what the code does: its numbers, its files, its tests, and the rights that it gives."""

import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatch
from importlib import import_module
from typing import Any, Final

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege
from tests.pages import ROOT, SOURCE, blocks, code, page, rows, section

from orchestrator.store.schema import ensure_schema, upgrade
from orchestrator.store.store import Store

PAGE: Final = page("docs/security.md")
KIB: Final = 1024


def cells(line: str) -> list[str]:
    """The cells of a row."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


BOUNDS: Final = [cells(line) for line in section(PAGE, "## Bounds").splitlines() if line.startswith("| ")]


def constants(cell: str) -> Iterator[tuple[str, Any]]:
    """Name and value of each constant in a cell: `file.py` `NAME` `NAME`, or `Struct.member` with its default."""
    module = ""
    for word in code(cell):
        if word.endswith(".py"):
            module = f"orchestrator.{word.removesuffix('.py').replace('/', '.')}"
            continue
        name, _, member = word.partition(".")
        found = getattr(import_module(module), name)
        yield word, getattr(found(), member) if member else found


def written(name: str, value: float) -> str:
    """A constant as the page writes it."""
    if "SECONDS" in name and value >= 86_400:
        return f"{value / 86_400:g} days"
    if "SECONDS" in name or name.startswith("Pace."):
        return f"{value:g} s"
    if name.endswith("BITS"):
        return f"{value:_} bits".replace("_", " ")
    if value >= 8 * KIB and value % KIB == 0:
        return f"{value / KIB**2:g} MiB" if value % KIB**2 == 0 else f"{value / KIB:g} KiB"
    return f"{int(value):_}".replace("_", " ") if value >= 1000 else f"{value:g}"


@pytest.mark.parametrize("row", [row for row in BOUNDS if code(row[2])], ids=lambda row: row[0][:40])
def test_bounds_are_the_codes(row: list[str]) -> None:
    """Each number of the table is the constant beside it, in the same order."""
    _, most, where, _ = row
    expected = [written(name, value) for name, value in constants(where)]
    if expected:  # a bound that the server's library has under another name stands in the file alone
        said = [
            re.match(r"[\d .]*\d(?: (?:KiB|MiB|s|days|bits)\b)?", part.strip()) for part in most.split(",")
        ]
        assert [found[0] for found in said if found] == expected


def test_files_that_are_named_exist() -> None:
    """A file of the source, or of the tests, is where the page says it is."""
    for named in code(PAGE):
        if re.fullmatch(r"[\w/]+\.(py|lua|js)", named):
            assert any((folder / named).exists() for folder in (SOURCE, ROOT / "tests", ROOT)), named


def test_tests_that_are_named_exist() -> None:
    """A test that is said to hold something is there, in its file."""
    named = [name for name in code(PAGE) if "::" in name]
    assert named
    for name in named:
        file, test = name.split("::")
        assert f"def {test}(" in (ROOT / "tests" / file).read_text(), name


def test_every_attack_test_is_named() -> None:
    """Each file of tests/security is on the page: what is attacked there is said here."""
    named = [name.partition("::")[0] for name in code(PAGE) if name.startswith("security/")]
    for path in (ROOT / "tests" / "security").glob("test_*.py"):
        assert any(fnmatch(f"security/{path.name}", pattern) for pattern in named), path.name


def test_settings_that_are_named_exist() -> None:
    """Every variable of the page is a setting."""
    known = {code(row[0])[0] for row in rows(page("docs/settings.md"))}
    assert set(re.findall(r"ORCHESTRATOR_[A-Z_]+[A-Z]", PAGE)) <= known


@pytest.fixture
async def role_url(postgres_url: str) -> AsyncIterator[str]:
    """A database with its schema, and a URL of it for the role that the page makes."""
    async with Store(postgres_url) as owner:
        await upgrade(owner)
    (statements,) = [block.code for block in blocks(PAGE) if block.language == "sql"]
    name = statements.split()[2]
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as owned:
        owned.execute(statements.encode())
        yield re.sub(r"//[^@/]*@", f"//{name}:PASSWORD@", postgres_url)
        owned.execute(f"DROP OWNED BY {name}; DROP ROLE {name}".encode())


async def test_the_service_works_with_the_role_of_the_page(role_url: str) -> None:
    """Every kind of change can be made and read with it."""
    async with Store(role_url) as store:
        await ensure_schema(store)
        await store.create_tenant("acme", "free")
        await store.create_tenant("globex", "free")
        await store.create_context("acme", "agent", "1")
        await store.update_context("agent-1", active=True)
        await store.grant("globex", "agent-1")
        await store.revoke("globex", "agent-1")
        await store.suspend_tenant("acme")
        for value in (5, None):
            await store.set_tier_limits("free", {"weight": value})
        for _ in range(2):
            await store.revoke_subject("acme", "ada")
        assert await store.revocations(datetime.now(UTC) - timedelta(days=1))
        assert len(await store.audit()) == 10


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit", "DROP TABLE audit", "CREATE TABLE mine ()"],
)
def test_the_role_of_the_page_rewrites_nothing(role_url: str, statement: str) -> None:
    """The audit stays as it was written, and the schema as it is."""
    with (
        psycopg.connect(role_url.replace("+psycopg", ""), autocommit=True) as connection,
        pytest.raises(InsufficientPrivilege),
    ):
        connection.execute(statement.encode())
