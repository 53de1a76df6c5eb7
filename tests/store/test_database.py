"""The connections: rules of each engine, and what is said when nobody answers."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.store.errors import StoreUnavailable, UnsupportedDatabase
from orchestrator.store.schema import upgrade
from orchestrator.store.store import Store

PASSWORD = "s3cret-horse"


class Proxy:
    """A TCP port in front of Postgres' socket that can fall silent without closing anything."""

    def __init__(self, socket_path: Path) -> None:
        self._socket_path = socket_path
        self._flowing = asyncio.Event()
        self._pumps: set[asyncio.Task[None]] = set()
        self.resume()

    async def start(self) -> int:
        """Starts listening and returns the port."""
        self._server = await asyncio.start_server(self._connect, "127.0.0.1")
        return self._server.sockets[0].getsockname()[1]

    def stall(self) -> None:
        """From now on nothing passes, in either direction."""
        self._flowing.clear()

    def resume(self) -> None:
        """Lets pass what waits and what comes."""
        self._flowing.set()

    async def stop(self) -> None:
        """Closes every connection."""
        self._server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = await asyncio.open_unix_connection(self._socket_path)
        for source, target in ((reader, behind[1]), (behind[0], writer)):
            self._pumps.add(asyncio.create_task(self._pump(source, target)))

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65_536):
                await self._flowing.wait()
                target.write(data)
        finally:
            target.close()


@pytest.fixture
async def proxied(postgres_url: str) -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy before a Postgres with the schema, and the URL that goes through it."""
    async with Store(postgres_url) as store:
        await upgrade(store)
    url = make_url(postgres_url)
    proxy = Proxy(Path(str(url.query["host"])) / ".s.PGSQL.5432")
    port = await proxy.start()
    through = url.set(host="127.0.0.1", port=port, query={}, password=PASSWORD)
    yield proxy, through.render_as_string(hide_password=False)
    await proxy.stop()


async def refused(question: Awaitable[Any]) -> StoreUnavailable:
    """The error that the question ends with, which must come within 3 s and some grace."""
    started = time.monotonic()
    with pytest.raises(StoreUnavailable) as caught:
        await question
    assert time.monotonic() - started < 3.5
    return caught.value


async def test_nobody_listening_is_unavailable(sqlite_url: str) -> None:
    """A closed port and a folder that does not exist are said plainly, without the password."""
    async with Store(f"postgresql+psycopg://orc:{PASSWORD}@127.0.0.1:1/orc") as store:
        error = await refused(store.access("acme", ["agent-1"]))
    assert error.where == "127.0.0.1:1/orc"
    assert "refused" in str(error)
    assert PASSWORD not in str(error)

    async with Store(sqlite_url.replace("orchestrator.db", "nowhere/orchestrator.db")) as store:
        assert "unable to open database file" in str(await refused(store.access("acme", [])))


async def test_closing_waits_for_the_drivers_threads(sqlite_url: str) -> None:
    """A connection that was opened or failed has a thread, and closing the store waits for it."""
    release = threading.Event()
    slow = threading.Thread(target=release.wait)
    async with Store(sqlite_url) as good, Store(sqlite_url.replace("orch", "nowhere/orch")) as bad:
        await good.ping()
        await refused(bad.ping())
        assert len(good.database.threads) == 1
        slow.start()
        bad.database.threads.add(slow)
        asyncio.get_running_loop().call_later(0.1, release.set)

    assert not slow.is_alive()


async def test_a_password_in_a_drivers_message_is_masked() -> None:
    """What the driver quotes of the URL does not get into the message."""
    async with Store(f"postgresql+psycopg://orc:{PASSWORD}@127.0.0.1:1/orc?{PASSWORD}=1") as store:
        error = await refused(store.ping())

    assert "***" in str(error)
    assert PASSWORD not in str(error)


async def test_a_host_without_a_name_is_unavailable() -> None:
    """A name that cannot be resolved is the database's absence too."""
    async with Store("postgresql+psycopg://nowhere.invalid/orc") as store:
        await refused(store.ping())


async def test_a_server_that_never_speaks_is_given_up() -> None:
    """A port that takes connections and stays silent costs no more than the deadline."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with Store(f"postgresql+psycopg://127.0.0.1:{silent.getsockname()[1]}/orc") as store:
            await refused(store.access("acme", ["agent-1"]))


async def test_a_server_that_falls_silent_is_given_up_and_taken_back(proxied: tuple[Proxy, str]) -> None:
    """An open connection that stops answering ends in time, and serves again when it is back."""
    proxy, url = proxied
    async with Store(url, read_seconds=0.3) as store:
        await store.access("acme", [])
        proxy.stall()
        error = await refused(store.access("acme", []))
        assert "no answer within 0.3 s" in str(error)
        assert PASSWORD not in str(error)

        proxy.resume()
        await store.access("acme", [])


async def test_a_restarted_server_is_found_again(proxied: tuple[Proxy, str], postgres_url: str) -> None:
    """A connection that the server closed is replaced before it is used."""
    _, url = proxied
    async with Store(url) as through, Store(postgres_url) as direct:
        await through.ping()
        others = text(
            "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE client_addr IS NULL "
            "AND datname = current_database() AND pid <> pg_backend_pid()"
        )
        await direct.database.read(lambda connection: connection.execute(others))
        await through.ping()


async def test_a_missing_schema_is_unavailable(database_url: str) -> None:
    """A database that was never upgraded cannot answer, which is no internal error."""
    async with Store(database_url) as store:
        assert "tenants" in str(await refused(store.access("acme", [])))


async def test_a_caller_that_goes_away_leaves_the_change_whole(store: Store) -> None:
    """A cancelled caller does not interrupt its transaction: the change is made to its end."""
    entered = asyncio.Event()
    go_on = asyncio.Event()
    ended = asyncio.Event()

    async def change(connection: AsyncConnection) -> None:
        await connection.execute(text("INSERT INTO tenants (id, tier) VALUES ('acme', 'free')"))
        entered.set()
        await go_on.wait()
        ended.set()

    caller = asyncio.create_task(store.database.write(change))
    await entered.wait()
    caller.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await ended.wait()

    assert (await store.update_tenant("acme", tier="advance")).record.tier == "advance"


async def test_a_failed_change_is_undone(store: Store) -> None:
    """A change is all or nothing."""

    async def change(connection: AsyncConnection) -> None:
        await connection.execute(text("INSERT INTO tenants (id, tier) VALUES ('acme', 'free')"))
        await connection.execute(text("INSERT INTO tenants (id, tier) VALUES ('globex', 'gold')"))

    with pytest.raises(StoreUnavailable, match="ck_tenants_tier"):
        await store.database.write(change)
    assert await store.list_tenants() == ()


async def test_sqlite_connections_have_their_rules(sqlite_url: str) -> None:
    """Every connection to SQLite is in WAL mode, waits for locks, and holds to foreign keys."""
    expected = {"journal_mode": "wal", "busy_timeout": 5000, "synchronous": 1, "foreign_keys": 1}

    async def rules(connection: AsyncConnection) -> dict[str, Any]:
        return {name: await connection.scalar(text(f"PRAGMA {name}")) for name in expected}

    async with Store(sqlite_url) as store:
        assert await store.database.read(rules) == expected


async def test_readers_do_not_wait_for_a_writer(store: Store) -> None:
    """Access is answered while a change is under way, as it was before it."""

    async def change(connection: AsyncConnection) -> None:
        await connection.execute(text("INSERT INTO tenants (id, tier) VALUES ('acme', 'free')"))
        assert (await store.access("acme", [])).tier is None

    await store.database.write(change)
    assert (await store.access("acme", [])).tier == "free"


async def test_writers_wait_for_one_another(database_url: str, store: Store) -> None:
    """Changes of several processes at once all succeed."""
    async with Store(database_url) as other:
        names = [f"tenant-{number}" for number in range(20)]
        await asyncio.gather(
            *((store, other)[number % 2].create_tenant(name, "free") for number, name in enumerate(names))
        )

    assert len(await store.list_tenants()) == len(names)


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("mysql://root@localhost/x", "mysql"),
        ("postgresql://orc:s3cret-horse@localhost/x", "postgresql;"),
        ("sqlite+aiosqlite://", "SQLite in memory"),
        ("sqlite+aiosqlite:///:memory:", "SQLite in memory"),
        ("no url at all s3cret-horse", "no URL"),
    ],
)
def test_other_databases_are_refused(url: str, named: str) -> None:
    """A URL that we have no driver for is refused before anything is opened, without its secrets."""
    with pytest.raises(UnsupportedDatabase, match="must be sqlite") as caught:
        Store(url)

    assert named in str(caught.value)
    assert PASSWORD not in str(caught.value)
