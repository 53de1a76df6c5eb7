"""Headers of send that are refused, each with its row of the errors table (contract §1, §3)."""

import pytest
from tests.contract.client import Caller, problem, unique
from tests.contract.conftest import BOTH_WAYS

pytestmark = [*BOTH_WAYS]

REQUIRED = ("X-Tenant-ID", "X-Agent-ID", "X-Tenant-Tier", "X-Session-ID")
TIERS = ["free", "advance", "professional", "enterprise"]
BAD_IDS = ("a b", "a:b", "a*b", "{a}", "a/b", ".a", "+a", "@a", "x" * 129, "a\tb", "ä", "a,b")


async def test_all_missing_headers_are_named_at_once(caller: Caller) -> None:
    """None of the four given: one problem that lists the four."""
    answer = await caller.post(dict.fromkeys(REQUIRED), json={"message": "Hello"})
    document = problem(answer, 400, "missing_headers")
    assert document["title"] == "Missing required headers"
    assert sorted(document["missing"]) == sorted(REQUIRED)


@pytest.mark.parametrize("name", REQUIRED)
async def test_one_missing_header_is_the_only_one_named(caller: Caller, name: str) -> None:
    """`missing` lists what is missing and nothing else."""
    document = problem(await caller.send(headers={name: None}), 400, "missing_headers")
    assert document["missing"] == [name]


async def test_a_collection_needs_its_header(caller: Caller) -> None:
    """`X-Collection-ID` is required for `collection`."""
    answer = await caller.send(headers={"X-Context-Type": "collection"})
    assert problem(answer, 400, "missing_headers")["missing"] == ["X-Collection-ID"]


@pytest.mark.parametrize("tier", ["gold", "Professional", "FREE", "free,enterprise", "0"])
async def test_an_unknown_tier_is_refused_with_the_four(caller: Caller, tier: str) -> None:
    """400 `invalid_tier`, and `allowed` lists the four."""
    document = problem(await caller.send(headers={"X-Tenant-Tier": tier}), 400, "invalid_tier")
    assert document["title"] == "Invalid tier"
    assert sorted(document["allowed"]) == sorted(TIERS)


@pytest.mark.parametrize("context_type", ["team", "Agent", "agents"])
async def test_an_unknown_context_type_is_refused(caller: Caller, context_type: str) -> None:
    """400 `invalid_context_type`; the three types are the only ones."""
    answer = await caller.send(headers={"X-Context-Type": context_type})
    problem(answer, 400, "invalid_context_type")


@pytest.mark.parametrize("value", BAD_IDS)
@pytest.mark.parametrize("name", ["X-Tenant-ID", "X-Agent-ID", "X-Session-ID"])
async def test_a_bad_required_id_is_refused(caller: Caller, name: str, value: str) -> None:
    """400 `invalid_id` before a key is built from it."""
    problem(await caller.send(headers={name: value.encode()}), 400, "invalid_id")


@pytest.mark.parametrize("value", ["a b", "a:b", "x" * 129])
@pytest.mark.parametrize("name", ["X-Conversation-ID", "X-Collection-ID"])
async def test_a_bad_optional_id_is_refused(caller: Caller, name: str, value: str) -> None:
    """Ids that may be left out are held to the same form when they are given."""
    problem(await caller.send(headers={name: value}), 400, "invalid_id")


async def test_a_user_id_is_up_to_255_characters(caller: Caller) -> None:
    """255 printable characters pass, spaces and punctuation too; one more is refused."""
    assert (await caller.send(headers={"X-User-ID": "u {:} " * 42 + "end"})).status_code == 202
    problem(await caller.send(headers={"X-User-ID": "u" * 256}), 400, "invalid_id")


async def test_the_longest_session_id(caller: Caller) -> None:
    """128 characters pass, of every kind that the pattern has."""
    session = (unique("A9_-.@+") + "x" * 128)[:128]
    assert (await caller.send(headers={"X-Session-ID": session})).status_code == 202


@pytest.mark.parametrize("path", ["/api/chat/sessions/a:b", "/api/chat/sessions/.a/events"])
async def test_a_bad_session_id_in_a_path_is_refused(caller: Caller, path: str) -> None:
    """The same form holds in paths."""
    problem(await caller.get(path), 400, "invalid_id")


@pytest.mark.parametrize("path", ["tasks/task-0123456789", "sessions/s", "stats"])
async def test_other_routes_name_the_missing_tenant_too(caller: Caller, path: str) -> None:
    """Without `X-Tenant-ID` nothing can be looked up."""
    document = problem(await caller.http.get(f"/api/chat/{path}"), 400, "missing_headers")
    assert "X-Tenant-ID" in document["missing"]
