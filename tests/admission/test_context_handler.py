"""What a send addresses is read once for all that say the same, and is still each sender's own (contract §1, §5)."""

from typing import Final

import pytest

from orchestrator.admission.access import Access
from orchestrator.admission.context_handler import ContextHandler
from orchestrator.admission.request import Addressed, SendRequest
from orchestrator.auth.identity import Identity
from orchestrator.errors import Problem
from orchestrator.protocol.send_body import SendBody
from orchestrator.protocol.tiers import Tier

_NOW: Final = 1_767_323_045_678_901


def _read(addressed: Addressed, *, tenant: str = "acme", tier: Tier = "free", now: int = _NOW) -> SendRequest:
    handler = ContextHandler(Access(None, None, None), 3_600)  # type: ignore[arg-type]  # nobody is asked
    identity = Identity(tenant=tenant, tier=tier, user="", session="sess-1")
    return handler.read(identity, "sess-1", tier, addressed, SendBody(message="hi"), now)


def test_moment_is_each_sends_own() -> None:
    """The same target, said a second later, was created a second later; what was read first keeps its moment."""
    first = _read(Addressed(agent="a1"))
    later = _read(Addressed(agent="a1"), now=_NOW + 1_000_000)
    assert first.context.created_at == "2026-01-02T03:04:05.678901Z"
    assert later.context.created_at == "2026-01-02T03:04:06.678901Z"
    assert first.context.agents == later.context.agents == ("agent-a1",)


def test_whatever_is_said_otherwise_is_another_target() -> None:
    """Nobody gets a context in which a part of another's stands."""
    said = Addressed(
        agent="a1", context_type="collection", collection="c1", request_source="web", client_version="1"
    )
    seen = [
        _read(said).context,
        _read(said, tenant="other").context,
        _read(said, tier="enterprise").context,
        _read(Addressed(agent="a1", collection="c1", request_source="web", client_version="1")).context,
        _read(Addressed(agent="a2", context_type="collection", collection="c1")).context,
        _read(Addressed(agent="a1", context_type="collection", collection="c2")).context,
        _read(
            Addressed(agent="a1", context_type="collection", collection="c1", request_source="web")
        ).context,
        _read(Addressed(agent="a1", context_type="collection", collection="c1", client_version="1")).context,
    ]
    for number, context in enumerate(seen):
        assert context not in seen[:number]
    assert [context.tenant_id for context in seen[:2]] == ["acme", "other"]
    assert seen[2].tenant_tier == "enterprise"
    assert seen[0].metadata == {"request_source": "web", "client_version": "1"}


@pytest.mark.parametrize(
    ("addressed", "code"),
    [
        (Addressed(agent="no agent"), "invalid_id"),
        (Addressed(agent="a1", collection="no collection"), "invalid_id"),
        (Addressed(agent="a1", context_type="collection"), "missing_headers"),
        (Addressed(agent="a1", context_type="sometype"), "invalid_context_type"),
        (Addressed(agent="a1", client_version="v" * 256), "invalid_id"),
    ],
)
def test_a_fault_is_told_each_time(addressed: Addressed, code: str) -> None:
    """What was refused once is refused again, with the same words."""
    details: list[str | None] = []
    for _ in range(2):
        with pytest.raises(Problem) as raised:
            _read(addressed)
        assert raised.value.code == code
        details.append(raised.value.detail)
    assert details[0] == details[1]
