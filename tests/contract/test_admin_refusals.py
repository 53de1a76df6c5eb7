"""What administration by HTTP refuses, and what it says then (contract §3, §6)."""

import asyncio
from pathlib import Path
from typing import Any, Final

import pytest
from tests.contract.administrator import Administrator
from tests.contract.client import problem, unique
from tests.contract.conftest import Connect, StartService
from tests.contract.gate import Gate
from tests.contract.test_access_database import database_door, through
from tests.security.minting import SECRET
from tests.servers import valkey_server

from orchestrator.store.schema import upgrade
from orchestrator.store.store import Store

__all__ = ["database_door"]

BAD_BODIES: Final[list[tuple[str, str, Any, str]]] = [
    ("POST", "/tenants", {"tier": "free"}, "`id`"),
    ("POST", "/tenants", {"id": "x"}, "`tier`"),
    ("POST", "/tenants", {"id": "x", "tier": "gold"}, "$.tier"),
    ("POST", "/tenants", {"id": 1, "tier": "free"}, "$.id"),
    ("POST", "/tenants", {"id": "x", "tier": "free", "active": False}, "`active`"),
    ("POST", "/tenants", {"id": "x", "tier": "free", "limits": None}, "$.limits"),
    ("POST", "/tenants", {"id": "x", "tier": "free", "limits": {"wieght": 1}}, "`wieght`"),
    ("POST", "/tenants", {"id": "x", "tier": "free", "limits": {"weight": 0}}, "$.limits.weight"),
    ("POST", "/tenants", {"id": "x", "tier": "free", "limits": {"weight": 2**31}}, "$.limits.weight"),
    ("POST", "/tenants", {"id": "x", "tier": "free", "limits": {"weight": 1.5}}, "$.limits.weight"),
    ("POST", "/tenants", {"id": "x", "tier": "free", "limits": {"weight": True}}, "$.limits.weight"),
    ("POST", "/tenants", {"id": "x", "tier": "free", "limits": {"weight": "1"}}, "$.limits.weight"),
    ("POST", "/tenants", [], "object"),
    ("PATCH", "/tenants/x", {}, "nothing to change"),
    ("PATCH", "/tenants/x", {"tier": None}, "$.tier"),
    ("PATCH", "/tenants/x", {"limits": None}, "$.limits"),
    ("PATCH", "/tenants/x", {"id": "y"}, "`id`"),
    ("POST", "/agents", {"id": "x"}, "`tenant_id`"),
    ("POST", "/agents", {"id": "x", "tenant_id": "y", "type": "workflow"}, "`type`"),
    ("PATCH", "/agents/x", {}, "`active`"),
    ("PATCH", "/agents/x", {"active": "no"}, "$.active"),
    ("PATCH", "/agents/x", {"active": None}, "$.active"),
    ("PATCH", "/limits/free", {}, "`limits`"),
    ("PATCH", "/limits/free", {"weight": 1}, "`weight`"),
    ("PATCH", "/limits/free", {"limits": {"weight": -1}}, "$.limits.weight"),
    ("POST", "/tokens/revoke", {"sub": "eve"}, "`tenant_id`"),
    ("POST", "/tokens/revoke", {"tenant_id": "x", "sub": ["eve"]}, "$.sub"),
    ("POST", "/tokens/revoke", {"tenant_id": "x", "sub": "eve", "tenant": "x"}, "`tenant`"),
]
LONG: Final = "x" * 123
"""An id, which is none with `agent-` in front."""
BAD_IDS: Final[list[tuple[str, str, Any]]] = [
    ("POST", "/tenants", {"id": "a b", "tier": "free"}),
    ("POST", "/tenants", {"id": "", "tier": "free"}),
    ("POST", "/tenants", {"id": "x\n", "tier": "free"}),
    ("POST", "/tenants", {"id": "{x}", "tier": "free"}),
    ("POST", "/agents", {"id": "a:b", "tenant_id": "x"}),
    ("POST", "/agents", {"id": "x", "tenant_id": "*"}),
    ("POST", "/agents", {"id": LONG, "tenant_id": "x"}),
    ("POST", "/tokens/revoke", {"tenant_id": "x:y", "sub": "eve"}),
    ("POST", "/tokens/revoke", {"tenant_id": "x", "sub": ""}),
    ("POST", "/tokens/revoke", {"tenant_id": "x", "sub": "e\x00"}),
    ("POST", "/tokens/revoke", {"tenant_id": "x", "sub": "e" * 256}),
    ("GET", "/tenants/a%20b", None),
    ("GET", "/tenants/x%0A", None),
    ("POST", "/tenants/%7Bx%7D/suspend", None),
    ("PATCH", "/agents/a:b", {"active": True}),
    ("PUT", "/agents/x/grants/a:b", None),
    ("GET", "/agents?tenant_id=a:b", None),
    ("GET", "/agents?tenant_id=", None),
    ("GET", "/tenants?after=*", None),
    ("GET", "/tenants?limit=0", None),
    ("GET", "/tenants?limit=1001", None),
    ("GET", "/tenants?limit=ten", None),
    ("GET", "/tenants?limit=1&limit=2", None),
    ("GET", "/tenants?tenant=acme", None),
    ("GET", "/audit?before=0", None),
    ("GET", "/audit?before=-1", None),
    ("GET", f"/audit?before={2**63}", None),
    ("GET", "/audit?since=yesterday", None),
]  # fmt: skip
METHODS: Final = {
    "/tenants": {"GET", "HEAD", "POST"},
    "/tenants/x": {"GET", "HEAD", "PATCH"},
    "/tenants/x/suspend": {"POST"},
    "/agents": {"GET", "HEAD", "POST"},
    "/workflows/x": {"GET", "HEAD", "PATCH"},
    "/collections/x/grants/y": {"PUT", "DELETE"},
    "/limits": {"GET", "HEAD"},
    "/limits/free": {"PATCH"},
    "/tokens/revoke": {"POST"},
    "/audit": {"GET", "HEAD"},
}


@pytest.mark.parametrize(("method", "path", "body", "told"), BAD_BODIES, ids=lambda value: str(value)[:60])
async def test_a_bad_body(admin: Administrator, method: str, path: str, body: Any, told: str) -> None:
    """400 `invalid_body` that says where and what; a typo is found."""
    assert told in problem(await admin.ask(method, path, json=body), 400, "invalid_body")["detail"]


@pytest.mark.parametrize("text", [b"", b"{", b'{"id": "\xff", "tier": "free"}', b"[" * 100_000])
async def test_a_body_that_is_no_json(admin: Administrator, text: bytes) -> None:
    """400 `invalid_body`."""
    answer = await admin.ask("POST", "/tenants", content=text, headers={"Content-Type": "application/json"})
    problem(answer, 400, "invalid_body")


async def test_a_body_of_another_kind_or_size(admin: Administrator) -> None:
    """The limits of a send hold here too."""
    plain = {"Content-Type": "text/plain"}
    answer = await admin.ask("POST", "/tenants", content=b'{"id":"x","tier":"free"}', headers=plain)
    problem(answer, 415, "unsupported_media_type")
    packed = await admin.ask("POST", "/tenants", json={}, headers={"Content-Encoding": "gzip"})
    problem(packed, 415, "unsupported_media_type")
    large = await admin.ask("POST", "/tenants", json={"id": "x" * 300_000, "tier": "free"})
    problem(large, 413, "payload_too_large")


@pytest.mark.parametrize(("method", "path", "body"), BAD_IDS, ids=lambda value: str(value)[:60])
async def test_a_bad_id_or_parameter(admin: Administrator, method: str, path: str, body: Any) -> None:
    """400 `invalid_id` that names it, before anything is asked of the database."""
    given = {} if body is None else {"json": body}
    assert problem(await admin.ask(method, path, **given), 400, "invalid_id")["parameter"]


@pytest.mark.parametrize(("path", "methods"), METHODS.items(), ids=METHODS)
async def test_a_method_that_there_is_not(admin: Administrator, path: str, methods: set[str]) -> None:
    """405, with all those that there are in `Allow`."""
    answer = await admin.ask("TRACE", path)
    problem(answer, 405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) == methods


async def test_without_validation(service_with: StartService, connect: Connect) -> None:
    """404 on every route, with the reason and nothing to wait for: no records are kept."""
    server = service_with(
        jwt_secret=SECRET,
        enable_access_validation="false",
        database_url="sqlite+aiosqlite:////nowhere/at/all.db",
    )
    admin = Administrator(connect(server))
    for method, path, body in (
        ("GET", "/tenants", None),
        ("POST", "/tenants", {"id": "x", "tier": "free"}),
        ("DELETE", "/agents/x/grants/y", None),
        ("GET", "/limits", None),
        ("GET", "/audit", None),
    ):
        given = {} if body is None else {"json": body}
        answer = await admin.ask(method, path, **given)
        assert "ORCHESTRATOR_ENABLE_ACCESS_VALIDATION" in problem(answer, 404, "not_found")["detail"]
        assert "retry-after" not in answer.headers


async def test_the_database_is_away(
    postgres_url: str, database_door: Gate, start_service: StartService, connect: Connect
) -> None:
    """503 that does not name it; a change says that it may have been made. The log has the cause."""
    async with Store(postgres_url) as store:
        await upgrade(store)
    url = through(database_door, postgres_url)
    server = await asyncio.to_thread(start_service, jwt_secret=SECRET, database_url=url)
    admin = Administrator(connect(server))
    await admin.tenant()
    database_door.shut()
    for answer in (
        await admin.ask("GET", "/tenants"),
        await admin.ask("POST", "/tenants", json={"id": unique("tenant"), "tier": "free"}),
    ):
        refused = problem(answer, 503, "unavailable")
        assert "database" in refused["detail"]
        assert str(database_door.port) not in answer.text
        assert answer.headers["retry-after"]
    failed = [line for line in server.log.splitlines() if "administration_failed" in line]
    assert len(failed) == 2
    assert all("database" in line for line in failed)


async def test_redis_is_away(start_service: StartService, connect: Connect, tmp_path: Path) -> None:
    """503 that says that the change is stored, and it is; the log says why. Reading needs no Redis."""
    with valkey_server(tmp_path / "valkey") as own:
        server = start_service(jwt_secret=SECRET, redis_url=own.url)
        admin = Administrator(connect(server))
        tenant_id = await admin.tenant("free")
        own.kill()
        answer = await admin.ask("PATCH", f"/tenants/{tenant_id}", json={"tier": "advance"})
        refused = problem(answer, 503, "unavailable")
        assert "stored" in refused["detail"]
        assert str(own.port) not in answer.text
        assert "administration_failed" in server.log
        assert (await admin.done("GET", f"/tenants/{tenant_id}"))["tier"] == "advance"
