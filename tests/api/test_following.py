"""Coming to a session: who has room, and whose token was revoked meanwhile (contract §4, §6)."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.broker.tenant import Tenant
from tests.delivery.parts import Parts, Reader

from orchestrator.admission.access import Access
from orchestrator.admission.limits import Limits
from orchestrator.api.following import Following, Full
from orchestrator.auth.identity import Identity
from orchestrator.auth.revocations import Revocations
from orchestrator.broker.access_cache import AccessCache
from orchestrator.errors import Problem
from orchestrator.protocol.tiers import DEFAULT_LIMITS
from orchestrator.store.schema import upgrade
from orchestrator.store.store import Store
from orchestrator.telemetry import configure_logging

ANN = Identity(
    tenant="acme", tier="free", user="ann", session="s-1", expires=4e9, issued=100.0, subject=("acme", "ann")
)


@pytest.fixture
async def parts(tenant: Tenant) -> AsyncIterator[Parts]:
    """The delivery side of one replica, hearing."""
    made = Parts(tenant)
    async with made.listening():
        yield made


class Slow(Access):
    """An access check during which something happens."""

    meanwhile: Any = staticmethod(lambda: None)

    async def learn(self, tenant: str, contexts: Sequence[str], generation: str) -> None:
        self.meanwhile()
        await super().learn(tenant, contexts, generation)


class Frames:
    """What a connection says of itself is not looked at here."""

    def frame(self, *_told: Any) -> bytes:
        return b"{}"


def following(parts: Parts, store: Store | None, **more: Any) -> tuple[Following, Slow, Revocations]:
    """What attaches connections, with its access check and its revocations."""
    log = configure_logging("DEBUG", "json", stream=parts.lines)
    access, revocations = Slow(store, AccessCache(parts.tenant.broker, 300), log), Revocations()
    frames: Any = Frames()
    runtime: Any = SimpleNamespace(draining=False)
    made = Following(
        manager=parts.manager,
        runtime=runtime,
        log=parts.session_log,
        access=access,
        settlements=parts.settlements,
        frames=frames,
        revocations=revocations,
        connections_max=100,
        limits=Limits(100, DEFAULT_LIMITS),
        ping_interval=30,
        explain_waits=set[str]().add,
        **more,
    )
    return made, access, revocations


async def test_revoked_while_the_database_was_asked(parts: Parts, tmp_path: Path) -> None:
    """Nobody finds a connection that is not there yet: it looks itself, and is refused."""
    async with Store(f"sqlite+aiosqlite:///{tmp_path / 'o.db'}") as store:
        await upgrade(store)
        await store.create_tenant("acme", "free", actor="test")
        made, access, revocations = following(parts, store)
        access.meanwhile = lambda: revocations.note("acme", "ann", 200.0)
        with pytest.raises(Problem, match="revoked"):
            await made.begin(Reader(parts), ANN, None)
    assert parts.manager.count == 0


async def test_many_come_at_once(parts: Parts) -> None:
    """New ones are let in at a rate; who resumes has more room, and an unreadable position is no resume."""
    made, _, _ = following(parts, None, new_per_second=1)
    opened = [await made.begin(Reader(parts), ANN, None)]
    for position in (None, "nonsense", "earliest"):
        with pytest.raises(Full):
            await made.begin(Reader(parts), ANN, position)
    opened.append(await made.begin(Reader(parts), ANN, "0:0-0"))
    for connection in opened:
        parts.manager.detach(connection)
