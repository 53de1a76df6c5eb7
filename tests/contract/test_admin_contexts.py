"""Administering agents, workflows and collections by HTTP, and who may use them (contract §6)."""

import pytest
from tests.contract.administrator import Administrator
from tests.contract.client import Tenant, problem, unique
from tests.security.user import User

KINDS = {"agents": "agent", "workflows": "workflow", "collections": "collection"}
each_kind = pytest.mark.parametrize("kind", KINDS)


@each_kind
async def test_it_is_kept_under_its_canonical_id(admin: Administrator, kind: str) -> None:
    """201 under `<type>-<id>`, whichever of the two was given; both spellings lead to it, and are one."""
    tenant_id, name = await admin.tenant(), unique("c")
    canonical = f"{KINDS[kind]}-{name}"
    answer = await admin.ask("POST", f"/{kind}", json={"id": name, "tenant_id": tenant_id})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/api/admin/{kind}/{canonical}"
    record = answer.json()
    assert record | {"created_at": ""} == {
        "id": canonical,
        "type": KINDS[kind],
        "tenant_id": tenant_id,
        "active": True,
        "granted_to": [],
        "created_at": "",
        "turn_policy": None,
        "max_attempts": None,
    }
    for spelling in (name, canonical):
        assert await admin.done("GET", f"/{kind}/{spelling}") == record
        again = await admin.ask("POST", f"/{kind}", json={"id": spelling, "tenant_id": tenant_id})
        problem(again, 409, "already_exists")


@each_kind
async def test_one_of_another_type_is_none(admin: Administrator, kind: str) -> None:
    """404: an agent is no workflow, and what begins with another type's name is an id like any other."""
    other = next(name for name in KINDS if name != kind)
    context_id = await admin.context(await admin.tenant(), other)
    problem(await admin.ask("GET", f"/{kind}/{context_id}"), 404, "not_found")
    problem(await admin.ask("PATCH", f"/{kind}/{context_id}", json={"active": False}), 404, "not_found")
    assert (await admin.done("GET", f"/{other}/{context_id}"))["active"] is True


@each_kind
async def test_it_needs_a_tenant(admin: Administrator, kind: str) -> None:
    """404 for an owner, and for somebody to grant it to, that does not exist."""
    body = {"id": unique("c"), "tenant_id": unique("nobody")}
    problem(await admin.ask("POST", f"/{kind}", json=body), 404, "not_found")
    context_id = await admin.context(await admin.tenant(), kind)
    problem(await admin.ask("PUT", f"/{kind}/{context_id}/grants/{unique('nobody')}"), 404, "not_found")


@each_kind
async def test_granted_and_taken_back(admin: Administrator, kind: str) -> None:
    """Granting twice is granting once, taking back twice is 404; a tenant's list has what it may use."""
    owner, friend = await admin.tenant(), await admin.tenant()
    context_id = await admin.context(owner, kind)
    grant = f"/{kind}/{context_id.partition('-')[2]}/grants/{friend}"
    for _ in range(2):
        assert (await admin.done("PUT", grant))["granted_to"] == [friend]
    listed = (await admin.done("GET", f"/{kind}?tenant_id={friend}"))[kind]
    assert [(record["id"], record["tenant_id"]) for record in listed] == [(context_id, owner)]
    assert (await admin.done("DELETE", grant))["granted_to"] == []
    problem(await admin.ask("DELETE", grant), 404, "not_found")
    assert (await admin.done("GET", f"/{kind}?tenant_id={friend}"))[kind] == []
    assert [record["id"] for record in (await admin.done("GET", f"/{kind}?tenant_id={owner}"))[kind]] == [
        context_id
    ]


async def test_a_name_that_is_too_long_for_its_type(admin: Administrator) -> None:
    """An id of which the canonical form is none is nobody's: 404."""
    problem(await admin.ask("GET", f"/agents/{'x' * 123}"), 404, "not_found")


async def test_pages_of_a_tenant(admin: Administrator) -> None:
    """In order of id, `limit` at a time."""
    tenant_id = await admin.tenant()
    expected = sorted([await admin.context(tenant_id) for _ in range(3)])
    first = await admin.done("GET", f"/agents?tenant_id={tenant_id}&limit=2")
    assert [record["id"] for record in first["agents"]] == expected[:2]
    assert first["next"] == expected[1]
    rest = await admin.done("GET", f"/agents?tenant_id={tenant_id}&limit=2&after={first['next']}")
    assert [record["id"] for record in rest["agents"]] == expected[2:]
    assert rest["next"] is None


async def test_a_grant_lets_in_at_once(admin: Administrator) -> None:
    """And taking it back shuts out at once, though answers were cached."""
    agent = await admin.context(await admin.tenant())
    friend = await admin.tenant()
    user = User(admin.http, Tenant(friend, "professional", agent))
    problem(await user.send(), 403, "access_denied")
    await admin.done("PUT", f"/agents/{agent}/grants/{friend}")
    await user.accepted()
    await admin.done("DELETE", f"/agents/{agent}/grants/{friend}")
    problem(await user.send(), 403, "access_denied")


async def test_switched_off_and_on(admin: Administrator) -> None:
    """Off for everyone, its owner included; on again as if nothing had been."""
    tenant_id = await admin.tenant()
    agent = await admin.context(tenant_id)
    user = User(admin.http, Tenant(tenant_id, "professional", agent))
    await user.accepted()
    for active in (False, True):
        record = await admin.done("PATCH", f"/agents/{agent.removeprefix('agent-')}", {"active": active})
        assert record["active"] is active
        answer = await user.send()
        assert answer.status_code == (202 if active else 403), answer.text


@each_kind
async def test_turns_and_attempts(admin: Administrator, kind: str) -> None:
    """Both are set when it is created or later; what is left out stays, and null takes back."""
    tenant_id, name = await admin.tenant(), unique("c")
    body = {"id": name, "tenant_id": tenant_id, "turn_policy": "queue", "max_attempts": 5}
    assert (await admin.ask("POST", f"/{kind}", json=body)).status_code == 201
    for change, expected in (
        ({}, None),
        ({"turn_policy": "steer"}, ("steer", 5)),
        ({"max_attempts": 100}, ("steer", 100)),
        ({"active": True}, ("steer", 100)),
        ({"turn_policy": None, "max_attempts": None}, (None, None)),
        ({"turn_policy": "never"}, None),
        ({"max_attempts": 0}, None),
        ({"max_attempts": 101}, None),
    ):
        answer = await admin.ask("PATCH", f"/{kind}/{name}", json=change)
        if expected is None:
            problem(answer, 400, "invalid_body")
        else:
            assert (answer.json()["turn_policy"], answer.json()["max_attempts"]) == expected
