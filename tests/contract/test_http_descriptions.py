"""OpenAPI, AsyncAPI, the docs and the chat page: what they say is held against the server (contract §3)."""

import re
from typing import Any

import httpx
import pytest
from tests.contract.client import Caller
from tests.contract.test_http_errors import ROUTES

FRAMES = (
    "connection_ack",
    "task_update",
    "agent_chunk",
    "agent_response",
    "error",
    "accepted",
    "pong",
    "subscribed",
    "unsubscribed",
    "ping",
    "send",
    "cancel",
    "subscribe",
    "unsubscribe",
    "ack",
    "auth",
)


async def described(http: httpx.AsyncClient) -> dict[str, Any]:
    """The OpenAPI document."""
    answer = await http.get("/openapi.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/json")
    return answer.json()


async def test_openapi_has_every_route(http: httpx.AsyncClient) -> None:
    """Each route of the contract's table that is an API is described, by its method."""
    document = await described(http)
    assert document["openapi"].startswith("3.")
    shapes = {re.sub(r"\{\w+\}", "{}", path): set(item) for path, item in document["paths"].items()}
    pages = ("/", "/docs", "/openapi.json", "/asyncapi.json")
    for method, path in ROUTES:
        shape = path.replace("task-x", "{}").replace("/s/", "/{}/").removesuffix("/s")
        shape += "/{}" if path.endswith("/s") else ""
        if path not in pages:
            assert method.lower() in shapes[shape], path


async def test_openapi_has_no_other_route(caller: Caller) -> None:
    """Each described path exists: a method that none of them has gets 405, not 404."""
    for path in (await described(caller.http))["paths"]:
        answer = await caller.http.request("TRACE", re.sub(r"\{\w+\}", "x", path), headers=caller.headers)
        assert answer.status_code == 405, path


@pytest.mark.parametrize("status", [202, 400, 413, 415, 422, 429, 503])
async def test_openapi_tells_the_answers_of_send(http: httpx.AsyncClient, status: int) -> None:
    """The statuses that send can answer with are listed."""
    operation = (await described(http))["paths"]["/api/chat/send"]["post"]
    assert str(status) in operation["responses"]


async def test_openapi_names_the_members_of_the_202(caller: Caller) -> None:
    """The schema's properties are the members of a real answer."""
    document = await described(caller.http)
    operation = document["paths"]["/api/chat/send"]["post"]
    schema = _resolved(document, operation["responses"]["202"])["content"]["application/json"]["schema"]
    assert set(_resolved(document, schema)["properties"]) == set(await caller.accepted())


async def test_openapi_names_the_members_of_the_body(http: httpx.AsyncClient) -> None:
    """The request's schema has the contract's members, allows no others and requires `message`."""
    document = await described(http)
    body = _resolved(document, document["paths"]["/api/chat/send"]["post"]["requestBody"])
    schema = _resolved(document, body["content"]["application/json"]["schema"])
    assert set(schema["properties"]) == {
        "message",
        "message_type",
        "user_info",
        "metadata",
        "stream",
        "max_iterations",
        "timeout",
        "turn_policy",
    }
    assert schema["required"] == ["message"]
    assert schema["additionalProperties"] is False
    message = _resolved(document, schema["properties"]["message"])
    assert (message["minLength"], message["maxLength"]) == (1, 32_000)


async def test_asyncapi_has_every_frame(http: httpx.AsyncClient) -> None:
    """The socket's channel and every frame of both directions."""
    answer = await http.get("/asyncapi.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/json")
    document = answer.json()
    assert document["asyncapi"].startswith("3.")
    assert any(channel.get("address") == "/ws/{session_id}" for channel in document["channels"].values())
    for name in FRAMES:
        assert f'"{name}"' in answer.text, name


@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_pages_for_people(http: httpx.AsyncClient, path: str) -> None:
    """The chat page and the docs are HTML."""
    answer = await http.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_pages_bring_everything_along(http: httpx.AsyncClient, path: str) -> None:
    """What a page loads is served from here, and is there."""
    text = (await http.get(path)).text
    for found in re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="([^"#]+)"', text):
        assert "//" not in found, found
        answer = await http.get(str(httpx.URL(path).join(found)))
        assert answer.status_code == 200, found


def _resolved(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in part:
        found: Any = document
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        part = found
    return part
