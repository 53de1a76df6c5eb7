"""What the page does when a socket is refused, put off, silent or cut."""

import json
from collections.abc import Callable

import pytest
from playwright.async_api import Browser, Route, WebSocketRoute, expect
from tests.browser.chat import Chat
from tests.servers import wait_until

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize(("code", "reason"), [(4403, "not your tenant"), (4400, "tier is missing")])
async def test_a_refusal_is_final(chat: Chat, code: int, reason: str) -> None:
    """After 4400 and 4403 the page says why and does not come back by itself."""
    tries: list[str] = []

    async def refuse(socket: WebSocketRoute) -> None:
        tries.append(socket.url)
        await socket.close(code=code, reason=reason)

    await chat.page.route_web_socket("**/ws/**", refuse)
    await chat.load()

    await expect(chat.page.get_by_role("alert")).to_contain_text(reason)
    await chat.page.evaluate("dispatchEvent(new Event('online'))")
    await expect(chat.connection).to_have_attribute("data-state", "refused")
    assert len(tries) == 1

    await chat.page.get_by_role("button", name="Try again").click()
    await wait_until(lambda: len(tries) == 2)


async def test_credentials_are_asked_for(chat: Chat) -> None:
    """After 4401 the page says that the service asks for credentials."""

    async def refuse(socket: WebSocketRoute) -> None:
        await socket.close(code=4401, reason="the token has expired")

    await chat.page.route_web_socket("**/ws/**", refuse)
    await chat.load()

    await expect(chat.page.get_by_role("alert")).to_contain_text("credentials: the token has expired")


@pytest.mark.parametrize("code", [1012, 1013, 4429])
async def test_a_named_time_is_waited(chat: Chat, code: int) -> None:
    """After 1012, 1013 and 4429 the next try comes at the time named, and no event makes it sooner."""
    tries: list[str] = []

    async def put_off(socket: WebSocketRoute) -> None:
        tries.append(socket.url)
        if len(tries) == 1:
            await socket.close(code=code, reason='{"retry_after_ms": 20000}')
        else:
            socket.connect_to_server()

    await chat.page.clock.install()
    await chat.page.route_web_socket("**/ws/**", put_off)
    await chat.load()
    await expect(chat.connection).to_have_attribute("data-state", "reconnecting")
    await chat.page.evaluate("dispatchEvent(new Event('online'))")
    # The clock goes by itself, too: what a loaded machine takes comes on top.
    await chat.page.clock.run_for(15_000)
    assert len(tries) == 1

    await chat.page.clock.run_for(5_000)
    await expect(chat.connection).to_have_attribute("data-state", "connected")
    assert len(tries) == 2


async def test_a_silent_socket_is_given_up(chat: Chat) -> None:
    """When no pong comes within 10 s of a ping, the page takes another socket, from where it stands."""
    sockets: list[str] = []

    def swallow_pongs(socket: WebSocketRoute) -> None:
        sockets.append(socket.url)
        server = socket.connect_to_server()
        is_first = len(sockets) == 1
        server.on_message(_unless(lambda kind: is_first and kind == "pong", socket))

    await chat.page.clock.install()
    await chat.page.route_web_socket("**/ws/**", swallow_pongs)
    await chat.open()
    await chat.page.clock.run_for(39_000)
    assert len(sockets) == 1

    await chat.page.clock.run_for(2_000)
    await wait_until(lambda: len(sockets) == 2)
    assert "position=" in sockets[1]


async def test_the_network_comes_back(chat: Chat) -> None:
    """Without a network the badge says offline; when it is back, the page connects at once."""
    sockets: list[WebSocketRoute] = []

    async def cut_first(socket: WebSocketRoute) -> None:
        sockets.append(socket)
        socket.connect_to_server()

    await chat.page.clock.install()
    await chat.page.route_web_socket("**/ws/**", cut_first)
    await chat.open()
    # Time stands still from here on, so that only the event can bring the next socket.
    await chat.page.clock.pause_at(await chat.page.evaluate("Date.now() + 1000"))
    await chat.page.context.set_offline(True)
    await sockets[0].close(code=1011)
    await chat.page.clock.run_for(20)
    await expect(chat.connection).to_have_attribute("data-state", "offline")

    await chat.page.context.set_offline(False)
    await wait_until(lambda: len(sockets) == 2)


async def test_a_limit_is_told_and_waited_for(chat: Chat) -> None:
    """After 429 the page says so, counts down, and sends when it may, with the same key."""
    keys: list[str] = []

    async def limit(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        problem = {"status": 429, "code": "rate_limited", "title": "Too many requests"}
        await route.fulfill(
            status=429,
            headers={"Retry-After": "1", "Content-Type": "application/problem+json"},
            body=json.dumps(problem),
        )

    await chat.page.route("**/api/chat/send", limit, times=1)
    await chat.open()
    async with chat.page.expect_response(lambda response: response.status == 202) as accepted:
        await chat.say("patience")
        await expect(chat.state).to_contain_text("Too many messages. Trying again in")
    await chat.until_ended()

    assert (await (await accepted.value).request.all_headers())["idempotency-key"] == keys[0]
    await expect(chat.turns).to_have_count(1)


async def test_a_waiting_message_can_be_withdrawn(chat: Chat) -> None:
    """A message that certainly was not accepted is withdrawn by Stop, and never sent."""
    sends: list[str] = []

    async def refuse(route: Route) -> None:
        sends.append(route.request.url)
        await route.fulfill(
            status=503, headers={"Retry-After": "1"}, json={"status": 503, "code": "unavailable"}
        )

    await chat.page.route("**/api/chat/send", refuse)
    await chat.open()
    await chat.say("never mind")
    await expect(chat.state).to_contain_text("The service does not answer. Trying again in")
    await chat.stop_button.click()

    await chat.until_ended("unsent")
    await expect(chat.state).to_contain_text("Not sent")
    assert len(sends) == 1


async def test_two_windows(chat: Chat) -> None:
    """A question asked in one window shows in the other window of the session, with its answer."""
    await chat.open()
    other = Chat(await chat.page.context.new_page(), chat.page.url)
    await other.open()
    await chat.say("seen by both")
    await other.until_ended()

    await expect(other.turns).to_have_count(1)
    await expect(other.turns.locator(".question")).to_have_text("seen by both")
    await expect(other.answer).to_have_text("You said: seen by both")


async def test_answers_are_read_aloud(chat: Chat) -> None:
    """A polite live region gets whole sentences, each once, and the state at the end."""
    await chat.open()
    await chat.say("One sentence. Another one! And a last")
    await chat.until_ended()
    region = chat.page.locator("[aria-live=polite]")

    await expect(region.locator("p").last).to_contain_text("Complete")
    spoken = await region.locator("p").all_text_contents()
    assert "".join(spoken[:-1]) == "You said: One sentence. Another one! And a last"


async def test_spanish(chromium: Browser, chat: Chat) -> None:
    """A browser that prefers Spanish gets the page in Spanish."""
    context = await chromium.new_context(locale="es-MX")
    page = await context.new_page()
    await page.goto(chat.url)

    await expect(page.get_by_role("button", name="Nueva conversación")).to_be_visible()
    await expect(page.locator("html")).to_have_attribute("lang", "es")
    await expect(page.locator("#connection")).to_have_text("Conectado")
    await context.close()


def _unless(is_dropped: Callable[[str], bool], socket: WebSocketRoute) -> Callable[[str | bytes], None]:
    """Passes on to the page what is not dropped, by the type of the frame."""

    def pass_on(message: str | bytes) -> None:
        if not is_dropped(json.loads(message)["type"]):
            socket.send(message)

    return pass_on
