"""A token that ends under a conversation: nothing of it is lost, and nobody else's goes on with it."""

import pytest
from playwright.async_api import Route, expect
from tests.browser.visitor import Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")

_LONG = 400
"""Words; the demo's echo takes some 14 s for so many."""


def _sentence(words: int) -> str:
    return " ".join(f"word{number}" for number in range(words))


async def test_an_ended_token(visitor: Visitor) -> None:
    """A token ends in mid-stream: the page asks, and with the next one the answer goes on from where it stood."""
    await visitor.come_in(visitor.token(seconds=6))
    await visitor.say(_sentence(_LONG))
    await visitor.until_words(10)
    await expect(visitor.dialog).to_contain_text("The token has ended")
    await expect(visitor.connection).to_have_attribute("data-state", "asking")
    before = len(visitor.sockets)
    await visitor.enter(visitor.token())
    await visitor.until_in()
    await visitor.until_ended()

    whole = f"You said: {_sentence(_LONG)}"
    assert len(visitor.sockets) == before + 1
    assert "position=" in visitor.sockets[-1].url
    await expect(visitor.turns).to_have_count(1)
    await expect(visitor.answer).to_have_text(whole)
    assert all(whole.startswith(text.strip()) for text in await visitor.shown_answers())


async def test_a_newer_token_in_place(visitor: Visitor) -> None:
    """A token entered before the old one ends goes over the open socket, and that socket outlives the old one."""
    await visitor.come_in(visitor.token(seconds=8))
    before = len(visitor.sockets)
    await expect(visitor.banner).to_contain_text("Your token ends at")
    await visitor.say(_sentence(_LONG))
    await visitor.until_words(5)
    await visitor.banner.get_by_role("button", name="Enter a token").click()
    newer = visitor.token()
    await visitor.enter(newer)
    await expect(visitor.banner).to_be_hidden()
    await visitor.until_ended()

    assert visitor.sent.count({"type": "auth", "token": newer}) == 1
    assert len(visitor.sockets) == before
    await expect(visitor.answer).to_have_text(f"You said: {_sentence(_LONG)}")


async def test_a_revoked_user(visitor: Visitor) -> None:
    """Who is revoked is asked for another token, and goes on with one that was issued since."""
    await visitor.come_in(visitor.token("grace"))
    await visitor.say(_sentence(_LONG))
    await visitor.until_words(5)
    await visitor.administer("tokens/revoke", {"tenant_id": "tenant-456", "sub": "grace"})
    await expect(visitor.dialog).to_contain_text("The token was revoked")
    await visitor.enter(visitor.tokens[0])
    await expect(visitor.dialog.get_by_role("alert")).to_contain_text("the token was revoked")
    await visitor.enter(visitor.token("grace"))
    await visitor.until_in()
    await visitor.until_ended()

    await expect(visitor.turns).to_have_count(1)
    await expect(visitor.answer).to_have_text(f"You said: {_sentence(_LONG)}")


async def test_a_suspended_tenant(visitor: Visitor) -> None:
    """Whose tenant is suspended is told so in a sentence; the page does not come back by itself."""
    await visitor.administer("tenants", {"id": "tenant-late", "tier": "free"})
    await visitor.come_in(visitor.token(tenant_id="tenant-late", tier="free"))
    await visitor.administer("tenants/tenant-late/suspend")

    await expect(visitor.banner).to_contain_text(
        "The service does not let you in: the tenant is unknown or suspended"
    )
    await expect(visitor.connection).to_have_attribute("data-state", "refused")
    await expect(visitor.dialog).to_be_hidden()
    tries = len(visitor.sockets)
    await visitor.page.evaluate("dispatchEvent(new Event('online'))")
    await expect(visitor.connection).to_have_attribute("data-state", "refused")
    assert len(visitor.sockets) == tries

    await visitor.administer("tenants/tenant-late/resume")
    await visitor.page.get_by_role("button", name="Try again").click()
    await visitor.until_in()


async def test_a_token_of_the_wrong_scope(visitor: Visitor) -> None:
    """A token that opens something else is refused with a sentence, and another one can be entered."""
    await visitor.load()
    await visitor.enter(visitor.token(scope="metrics"))
    await expect(visitor.banner).to_contain_text(
        "The service does not let you in: this needs a token with the scope chat"
    )
    await visitor.banner.get_by_role("button", name="Enter a token").click()
    await visitor.enter(visitor.token())
    await visitor.until_in()


async def test_somebody_else(visitor: Visitor) -> None:
    """With the token of another user another conversation begins; the first one is left alone."""
    await visitor.come_in(visitor.token("ada"))
    await visitor.say("from ada")
    await visitor.until_ended()
    await visitor.page.get_by_role("button", name="Settings").click()
    await visitor.page.get_by_role("button", name="Change the token").click()
    await visitor.enter(visitor.token("bob"))
    await visitor.until_in()
    await expect(visitor.turns).to_have_count(0)
    await visitor.say("from bob")
    await visitor.until_ended()

    await expect(visitor.turns).to_have_count(1)
    assert len({socket.url.partition("?")[0] for socket in visitor.sockets[-2:]}) == 2


async def test_a_token_for_one_session(visitor: Visitor) -> None:
    """A token that reaches one session leads there, and offers no other conversation."""
    await visitor.come_in(visitor.token(session_id="sess-only-this"))

    assert "/ws/sess-only-this" in visitor.sockets[-1].url
    await expect(visitor.page.get_by_role("button", name="New conversation")).to_be_hidden()


async def test_who_is_writing_is_not_interrupted(visitor: Visitor) -> None:
    """When a token ends while a message is being written, only the banner asks."""
    await visitor.come_in(visitor.token(seconds=4))
    message = visitor.page.get_by_role("textbox", name="Message")
    await message.fill("half a thou")
    await expect(visitor.banner).to_contain_text("The service asks for a new token: the token has ended")

    await expect(visitor.dialog).to_be_hidden()
    await expect(message).to_be_focused()


async def test_a_send_that_is_refused_for_its_token_waits(visitor: Visitor) -> None:
    """A message that comes too late for its token is kept, and sent once with the next one, with its key."""
    keys: list[str] = []

    async def refuse(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        problem = {"status": 401, "code": "unauthorized", "detail": "the token has expired"}
        headers = {"WWW-Authenticate": 'Bearer realm="orchestrator", error="invalid_token"'}
        await route.fulfill(status=401, headers=headers, json=problem)

    await visitor.come_in(visitor.token())
    await visitor.page.route("**/api/chat/send", refuse, times=1)
    await visitor.say("wait for me")
    await expect(visitor.state).to_contain_text("Waiting for a new token")
    await expect(visitor.dialog).to_contain_text("The token has expired. Nothing is lost")
    async with visitor.page.expect_request("**/api/chat/send") as repeated:
        await visitor.enter(visitor.token())
    await visitor.until_ended()

    assert (await (await repeated.value).all_headers())["idempotency-key"] == keys[0]
    await expect(visitor.turns).to_have_count(1)
    await expect(visitor.answer).to_have_text("You said: wait for me")
