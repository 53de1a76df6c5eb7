"""Nothing is lost and nothing doubled, whatever happens between the page and the service."""

import asyncio
import json

import pytest
from playwright.async_api import APIResponse, Route, WebSocketRoute, expect
from tests.browser.chat import Chat
from tests.servers import OrchestratorServer, wait_until

pytestmark = pytest.mark.asyncio(loop_scope="session")


def _sentence(words: int) -> str:
    return " ".join(f"word{number}" for number in range(words))


async def test_reload_in_the_middle(chat: Chat) -> None:
    """A page loaded anew in mid-stream shows what it had at once, and the answer completes, once."""
    await chat.open()
    await chat.say(_sentence(60))
    await chat.until_words(10)
    await chat.page.reload()
    await chat.until_words(10)
    await chat.until_ended()

    await expect(chat.turns).to_have_count(1)
    await expect(chat.answer).to_have_text(f"You said: {_sentence(60)}")


async def test_reload_with_the_send_on_its_way(chat: Chat) -> None:
    """A message whose send was cut off by a reload is sent again with its key: one task, one answer."""
    await chat.open()
    keys: list[str] = []

    async def lose(route: Route) -> None:
        await route.fetch()
        keys.append(route.request.headers["idempotency-key"])

    await chat.page.route("**/api/chat/send", lose, times=1)
    await chat.say("only once")
    await wait_until(lambda: keys)
    async with chat.page.expect_request("**/api/chat/send") as repeated:
        await chat.page.reload()
    await chat.until_ended()

    assert (await (await repeated.value).all_headers())["idempotency-key"] == keys[0]
    await expect(chat.turns).to_have_count(1)
    await expect(chat.answer).to_have_text("You said: only once")


async def test_the_answer_to_a_send_is_lost(chat: Chat) -> None:
    """A send that was accepted, but whose answer never came, is repeated with its key and not doubled."""
    await chat.open()

    async def lose(route: Route) -> None:
        await route.fetch()
        await route.abort("connectionreset")

    await chat.page.route("**/api/chat/send", lose, times=1)
    await chat.say("only once")
    await chat.until_ended()

    await expect(chat.turns).to_have_count(1)
    await expect(chat.answer).to_have_text("You said: only once")


async def test_sent_before_connected(chat: Chat) -> None:
    """A first message that goes out before any socket is open misses nothing, however late the socket is."""
    addresses: list[str] = []
    answered = asyncio.Event()

    async def answer_first(route: Route) -> None:
        response = await route.fetch()
        await wait_until(lambda: _is_completed(route, response))
        await route.fulfill(response=response)
        answered.set()

    async def come_late(socket: WebSocketRoute) -> None:
        addresses.append(socket.url)
        await answered.wait()
        socket.connect_to_server()

    await chat.page.route("**/api/chat/send", answer_first)
    await chat.page.route_web_socket("**/ws/**", come_late)
    await chat.load()
    await chat.say("quick")
    await chat.until_ended()

    assert ["position=" in address for address in addresses] == [False, True]
    await expect(chat.answer).to_have_text("You said: quick")


async def _is_completed(route: Route, accepted: APIResponse) -> bool:
    """Whether the task of the 202 `accepted` has ended, asked as the page would ask."""
    names = ("x-tenant-id", "x-agent-id", "x-tenant-tier", "x-session-id")
    headers = {name: route.request.headers[name] for name in names}
    ledger = await route.request.frame.page.request.get(
        f"{accepted.url.removesuffix('/send')}/tasks/{(await accepted.json())['task_id']}", headers=headers
    )
    return (await ledger.json())["status"] == "completed"


async def test_a_killed_server(chat: Chat, server: OrchestratorServer) -> None:
    """The server dies by SIGKILL in mid-stream and comes back: the page reconnects, and all is there once."""
    await chat.open()
    await chat.say(_sentence(150))
    await chat.until_words(10)
    server.kill()
    await expect(chat.connection).to_have_attribute("data-state", "reconnecting")
    await chat.say("and this while nobody listens")
    server.start()
    await chat.until_ended()
    await expect(chat.turns.first).to_have_attribute("data-status", "completed", timeout=30_000)

    assert await chat.turns.locator(".question").all_inner_texts() == [
        _sentence(150),
        "and this while nobody listens",
    ]
    assert await chat.turns.locator(".answer").all_inner_texts() == [
        f"You said: {_sentence(150)}",
        "You said: and this while nobody listens",
    ]


async def test_a_hole_is_noticed(chat: Chat) -> None:
    """A frame that never came is noticed by the next offset, and the log is read again from before it."""
    sockets: list[str] = []
    chunks = 0

    def leave_one_out(socket: WebSocketRoute) -> None:
        sockets.append(socket.url)
        upstream = socket.connect_to_server()

        def pass_on(message: str | bytes) -> None:
            nonlocal chunks
            chunks += json.loads(message)["type"] == "agent_chunk"
            if chunks != 5 or len(sockets) > 1:
                socket.send(message)

        upstream.on_message(pass_on)

    await chat.page.route_web_socket("**/ws/**", leave_one_out)
    await chat.open()
    await chat.say(_sentence(40))
    await chat.until_ended()

    assert len(sockets) == 2
    assert "position=" in sockets[1]
    assert all(f"You said: {_sentence(40)}".startswith(text.strip()) for text in await chat.shown_answers())
    await expect(chat.answer).to_have_text(f"You said: {_sentence(40)}")


async def test_a_position_that_is_too_old(chat: Chat) -> None:
    """Where the log cannot be followed, the ledgers tell how each task ended."""
    await chat.open()
    await chat.say("told by the ledger")
    await chat.until_ended()
    kept = await chat.kept()
    kept["position"] = "gone:7-1"
    kept["turns"][0] |= {"status": "running", "answer": "told by"}
    await chat.keep(kept)
    await chat.until_ended()

    await expect(chat.turns).to_have_count(1)
    await expect(chat.answer).to_have_text("You said: told by the ledger")


async def test_a_task_that_nobody_knows(chat: Chat) -> None:
    """A task that the service has forgotten does not stay open on the page for ever."""
    await chat.open()
    await chat.say("long ago")
    await chat.until_ended()
    kept = await chat.kept()
    kept["position"] = "gone:7-1"
    kept["turns"][0] |= {"status": "running", "task": "task-forgotten"}
    await chat.keep(kept)
    await expect(chat.turns.first).to_have_attribute("data-status", "forgotten")

    await expect(chat.turns.first.locator(".meta")).to_contain_text("no longer knows what became of it")


async def test_what_was_shown_is_acknowledged(chat: Chat) -> None:
    """The page acknowledges the position of what it has painted, the ending's at last."""
    acknowledged: list[str] = []
    endings: list[str] = []

    def listen(socket: WebSocketRoute) -> None:
        upstream = socket.connect_to_server()

        def up(message: str | bytes) -> None:
            frame = json.loads(message)
            if frame["type"] == "ack":
                acknowledged.append(frame["position"])
            upstream.send(message)

        def down(message: str | bytes) -> None:
            frame = json.loads(message)
            if frame["type"] == "agent_response":
                endings.append(frame["position"])
            socket.send(message)

        socket.on_message(up)
        upstream.on_message(down)

    await chat.page.route_web_socket("**/ws/**", listen)
    await chat.open()
    await chat.say(_sentence(40))
    await chat.until_ended()
    await wait_until(lambda: acknowledged[-1:] == endings)

    assert len(acknowledged) < 10, "not one for every word"
