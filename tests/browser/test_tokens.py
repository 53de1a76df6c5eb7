"""The chat on a service that asks for tokens: how it asks, and what it does with what it gets."""

from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Browser, WebSocketRoute, expect
from tests.browser.chat import Chat
from tests.browser.visitor import Visitor
from tests.security.minting import OTHER_SECRET, shared
from tests.servers import OrchestratorServer

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_chat_with_a_token(visitor: Visitor) -> None:
    """The page asks, a token lets in, and after a reload the window still has it."""
    await visitor.come_in(visitor.token())
    await visitor.say("with a token")
    await visitor.until_ended()
    await visitor.page.reload()
    await visitor.until_in()

    await expect(visitor.answer).to_have_text("You said: with a token")
    await visitor.say("and again")
    await visitor.until_ended()
    await expect(visitor.turns).to_have_count(2)


async def test_a_request_is_enough_to_find_out(visitor: Visitor) -> None:
    """The page asks as soon as a request is refused, however long its socket waits for a first frame."""

    async def say_nothing(_: WebSocketRoute) -> None:
        pass

    await visitor.page.route_web_socket("**/ws/**", say_nothing)
    await visitor.load()

    await expect(visitor.dialog).to_be_visible()
    await expect(visitor.connection).to_have_attribute("data-state", "asking")


async def test_a_socket_is_enough_to_find_out(visitor: Visitor) -> None:
    """Where the first request was lost, a socket closed with 4401 makes the page ask."""

    async def close(socket: WebSocketRoute) -> None:
        await socket.close(code=4401, reason="no token came within 5 s")

    await visitor.page.route_web_socket("**/ws/**", close)
    await visitor.page.route("**/api/**", lambda route: route.abort(), times=1)
    await visitor.load()

    await expect(visitor.dialog).to_be_visible()


async def test_every_request_has_the_token(visitor: Visitor) -> None:
    """Requests carry it as a bearer's, sockets by their first frame; nothing else says who it is."""
    token = visitor.token()
    await visitor.come_in(token)
    await visitor.say("hello")
    await visitor.until_ended()
    visitor.requests.clear()
    visitor.sent.clear()
    await visitor.page.reload()
    await visitor.until_in()
    await visitor.say("hello again")
    await visitor.until_ended()

    calls = [await request.all_headers() for request in visitor.requests if "/api/" in request.url]
    assert {headers.get("authorization") for headers in calls} == {f"Bearer {token}"}
    assert not {name for headers in calls for name in headers} & {"x-tenant-id", "x-tenant-tier", "x-user-id"}
    assert visitor.sent[0] == {"type": "auth", "token": token}
    assert set(parse_qs(urlsplit(visitor.sockets[-1].url).query)) == {"position"}


async def test_a_new_window_has_to_ask(visitor: Visitor) -> None:
    """A token stays in its window; another one asks for its own, and then shows the same conversation."""
    await visitor.come_in(visitor.token())
    await visitor.say("in the first window")
    await visitor.until_ended()
    other = Visitor(await visitor.page.context.new_page(), visitor.url)
    await other.come_in(visitor.token())

    await expect(other.turns.locator(".question")).to_have_text("in the first window")


async def test_who_one_is_is_read_from_the_token(visitor: Visitor) -> None:
    """Tenant, tier and user stand in the drawer as the token says them; only the agent can be chosen."""
    await visitor.come_in(visitor.token("Ada Löwe", agents=["agent-fail", "agent-slow"]))
    await visitor.page.get_by_role("button", name="Settings").click()
    drawer = visitor.page.locator("#drawer")

    await expect(drawer.get_by_label("Tenant")).to_have_value("tenant-456")
    await expect(drawer.get_by_label("User")).to_have_value("Ada Löwe")
    await expect(drawer.get_by_label("Tier")).to_have_value("professional")
    for label in ("Tenant", "User", "Tier"):
        await expect(drawer.get_by_label(label)).not_to_be_editable()
    await expect(drawer.get_by_label("Agent")).to_have_value("agent-fail")

    assert await visitor.page.evaluate("Array.from(agents.options, option => option.value)") == [
        "agent-fail",
        "agent-slow",
    ]
    await drawer.get_by_label("Agent").fill("agent-slow")
    await drawer.get_by_role("button", name="Save").click()
    await visitor.say("count")
    await visitor.until_words(1)


@pytest.mark.parametrize("text", ["tenant-456", "a.b.c", "eyJhbGciOiJIUzI1NiJ9", "e30.bm90IGpzb24.e30"])
async def test_what_is_no_token(visitor: Visitor, text: str) -> None:
    """What has not the form of a token is told at once, and never sent."""
    await visitor.load()
    await visitor.enter(text)

    await expect(visitor.dialog.get_by_role("alert")).to_have_text(
        "This is no token. A token is one long word with two dots in it."
    )
    await expect(visitor.field).to_be_focused()
    await expect(visitor.field).to_have_attribute("aria-invalid", "true")


async def test_a_wrong_token(visitor: Visitor) -> None:
    """A token that the service refuses stays outside, with the service's words; the right one then goes."""
    await visitor.load()
    await visitor.enter(visitor.token(issuer=shared(OTHER_SECRET)))
    refusal = visitor.dialog.get_by_role("alert")
    await expect(refusal).to_contain_text("The service does not take this token:")
    await visitor.enter(visitor.token(seconds=-1))
    await expect(refusal).to_contain_text("the token has expired")
    assert await visitor.page.evaluate("Object.keys(sessionStorage)") == []

    await visitor.enter(visitor.token())
    await visitor.until_in()


async def test_pasted_as_it_was_copied(visitor: Visitor) -> None:
    """A scheme before the token, or a line break of a terminal in it, is no fault."""
    await visitor.load()
    token = visitor.token()
    await visitor.field.fill(f" Bearer {token[:80]} {token[80:]} ")

    await expect(visitor.dialog.get_by_role("status")).to_contain_text("tenant-456 · professional · ada")
    await visitor.field.press("Enter")
    await visitor.until_in()


async def test_the_question_can_wait(visitor: Visitor) -> None:
    """Escape closes the question; a message stays where it was written, and sending it asks again."""
    await visitor.load()
    await expect(visitor.dialog).to_be_visible()
    await expect(visitor.field).to_be_focused()
    await visitor.page.keyboard.press("Escape")
    await expect(visitor.banner).to_contain_text("This service wants to know who you are.")
    await visitor.say("before the token")
    await expect(visitor.dialog).to_be_visible()
    await visitor.enter(visitor.token())
    await visitor.until_in()

    await expect(visitor.turns).to_have_count(0)
    message = visitor.page.get_by_role("textbox", name="Message")
    await expect(message).to_be_focused()
    await expect(message).to_have_value("before the token")
    await message.press("Enter")
    await visitor.until_ended()


async def test_the_command_that_makes_one(visitor: Visitor) -> None:
    """The dialog tells how a token is made for development, ready to be copied."""
    await visitor.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await visitor.load()
    command = "orchestrator token create --tenant tenant-456 --sub ada --tier professional"

    await expect(visitor.dialog.locator("code")).to_have_text(command)
    await visitor.dialog.get_by_role("button", name="Copy").click()
    await expect(visitor.dialog.get_by_role("button", name="Copied")).to_be_visible()
    assert await visitor.page.evaluate("navigator.clipboard.readText()") == command


async def test_the_dialog_fits_a_narrow_window(visitor: Visitor) -> None:
    """At 360 px nothing of the question sticks out at the side."""
    await visitor.page.set_viewport_size({"width": 360, "height": 640})
    await visitor.load()
    await expect(visitor.dialog).to_be_visible()

    box = await visitor.dialog.bounding_box()
    assert box
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 360
    assert await visitor.dialog.evaluate("dialog => dialog.scrollWidth <= dialog.clientWidth")


async def test_spanish(chromium: Browser, token_server: OrchestratorServer) -> None:
    """A browser that prefers Spanish is asked in Spanish."""
    context = await chromium.new_context(locale="es-MX")
    page = await context.new_page()
    await page.goto(token_server.url)

    await expect(page.get_by_role("dialog", name="¿Quién eres?")).to_be_visible()
    await context.close()


async def test_nobody_is_asked_without_need(chat: Chat) -> None:
    """A service without tokens never asks for one, and gets none."""
    visitor = Visitor(chat.page, chat.url)
    await visitor.open()
    await visitor.say("plain")
    await visitor.until_ended()

    assert not [one for one in visitor.requests if "authorization" in await one.all_headers()]
    assert "auth" not in {frame["type"] for frame in visitor.sent}
    await expect(visitor.dialog).to_be_hidden()
    await expect(visitor.banner).to_be_hidden()
