"""What a person does on the page, and what comes of it."""

import pytest
from playwright.async_api import Page, expect
from tests.browser.chat import Chat

pytestmark = pytest.mark.asyncio(loop_scope="session")

_HOSTILE = "<img src=x onerror=\"document.title='broken'\"> <script>document.title='broken'</script> &amp;"


def _sentence(words: int) -> str:
    return " ".join(f"word{number}" for number in range(words))


async def test_an_answer_streams_in(chat: Chat) -> None:
    """The answer grows word by word, each state a beginning of the whole, and ends complete."""
    await chat.open()
    await chat.say(_sentence(30))
    await chat.until_ended()

    whole = f"You said: {_sentence(30)}"
    shown = [text for text in await chat.shown_answers() if text]

    await expect(chat.answer).to_have_text(whole)
    assert len(shown) >= 10, "it came in a few lumps"
    assert shown == sorted(shown, key=len)
    assert all(whole.startswith(text.strip()) for text in shown)
    await expect(chat.state).to_contain_text("Complete")
    await expect(chat.stop_button).to_be_hidden()


async def test_shift_enter_starts_a_line(chat: Chat) -> None:
    """Enter sends, Shift+Enter does not; the lines arrive as lines."""
    await chat.open()
    field = chat.page.get_by_role("textbox", name="Message")
    await field.press_sequentially("one")
    await field.press("Shift+Enter")
    await field.press_sequentially("two")

    await expect(chat.turns).to_have_count(0)

    await field.press("Enter")
    await chat.until_ended()

    assert await chat.turns.last.locator(".question").inner_text() == "one\ntwo"
    assert await chat.answer.inner_text() == "You said: one\ntwo"
    await expect(field).to_have_value("")


async def test_two_at_once(chat: Chat) -> None:
    """Two tasks run side by side, and each answer stands below its own question."""
    await chat.open()
    await chat.say("the first " + _sentence(20))
    await chat.say("the second " + _sentence(20))
    await chat.until_ended()
    await expect(chat.turns.first).to_have_attribute("data-status", "completed")

    assert await chat.turns.locator(".question").all_inner_texts() == [
        "the first " + _sentence(20),
        "the second " + _sentence(20),
    ]
    assert await chat.turns.locator(".answer").all_inner_texts() == [
        "You said: the first " + _sentence(20),
        "You said: the second " + _sentence(20),
    ]


async def test_stop_ends_the_task(chat: Chat) -> None:
    """The Stop button ends the task as cancelled; what was said until then stays, and no more comes."""
    await chat.open(agent="agent-slow")
    await chat.say("count")
    await chat.until_words(2)
    await chat.stop_button.click()
    await chat.until_ended("cancelled")

    await expect(chat.state).to_contain_text("Stopped")
    await expect(chat.stop_button).to_be_hidden()
    assert (await chat.answer.inner_text()).startswith("1 2")


async def test_a_failure_is_told(chat: Chat) -> None:
    """A task that fails shows its code and its message below what came before."""
    await chat.open(agent="agent-fail")
    await chat.say("try")
    await chat.until_ended("failed")

    await expect(chat.state).to_contain_text("Failed · demo_failure")
    await expect(chat.state).to_contain_text("This agent always gives up after two words.")


async def test_a_failed_message_can_be_sent_again(chat: Chat) -> None:
    """What failed stays as it was, and its message goes out once more, to whom is set by then."""
    await chat.open(agent="agent-fail")
    await chat.say("try")
    await chat.until_ended("failed")
    await chat.set(agent="agent-123")
    await chat.turns.last.get_by_role("button", name="Send again").click()
    await expect(chat.turns).to_have_count(2)
    await chat.until_ended()

    await expect(chat.turns.first).to_have_attribute("data-status", "failed")
    await expect(chat.answer).to_have_text("You said: try")
    await expect(chat.turns.last.get_by_role("button", name="Send again")).to_be_hidden()


async def test_known_agents_are_offered(chat: Chat) -> None:
    """The drawer offers the agents that took a message before, and none that refused it."""
    await chat.open()
    await chat.say("one")
    await chat.until_ended()
    await chat.set(agent="agent-nobody-has")
    await chat.say("two")
    await chat.until_ended("refused")
    await chat.page.get_by_role("button", name="New conversation").click()
    await expect(chat.turns).to_have_count(0)
    await chat.page.get_by_role("button", name="Settings").click()

    assert await chat.page.evaluate("Array.from(agents.options, option => option.value)") == ["agent-123"]


async def test_a_refused_send_is_told(chat: Chat) -> None:
    """A message that the service does not accept says why, next to it, and can be sent again."""
    await chat.open(agent="agent-nobody-has")
    await chat.say("anyone there?")
    await chat.until_ended("refused")

    await expect(chat.state).to_contain_text("Not accepted · access_denied")

    await chat.set(agent="agent-123")
    await chat.turns.last.get_by_role("button", name="Send again").click()
    await chat.until_ended()

    await expect(chat.turns).to_have_count(1)
    await expect(chat.answer).to_have_text("You said: anyone there?")


async def test_hostile_text_stays_text(chat: Chat) -> None:
    """Markup in a question or an answer is shown as the characters that it is."""
    await chat.open()
    await chat.say(_HOSTILE)
    await chat.until_ended()

    assert await chat.turns.last.locator(".question").inner_text() == _HOSTILE
    assert await chat.answer.inner_text() == f"You said: {_HOSTILE}"
    assert await chat.page.locator(".turn img, .turn script").count() == 0
    assert await chat.page.title() == "Orchestrator"


async def test_code_is_shown_as_code(chat: Chat) -> None:
    """Fences become blocks of code, also around markup, and the rest stays prose."""
    await chat.open()
    await chat.say("look:\n```html\n<b>x</b>\n  y\n```\n**well** `done`")
    await chat.until_ended()

    assert await chat.answer.locator("pre").inner_text() == "<b>x</b>\n  y"
    assert await chat.answer.locator("p").all_inner_texts() == ["You said: look:", "well done"]


async def test_a_new_conversation_is_empty(chat: Chat) -> None:
    """New conversation starts another session, with nothing of the old one on the page."""
    await chat.open()
    await chat.say("old")
    await chat.until_ended()
    await chat.page.get_by_role("button", name="New conversation").click()

    await expect(chat.turns).to_have_count(0)
    await expect(chat.connection).to_have_attribute("data-state", "connected")

    await chat.say("new")
    await chat.until_ended()

    await expect(chat.turns).to_have_count(1)


async def test_the_keyboard_is_enough(chat: Chat) -> None:
    """Every control can be reached by Tab, has a name, and Escape closes the drawer."""
    await chat.open()
    names = [await _focused_name(chat.page)]
    for _ in range(3):
        await chat.page.keyboard.press("Shift+Tab")
        names.append(await _focused_name(chat.page))

    assert names[0] == "message"
    assert all(names)

    await chat.page.get_by_role("button", name="Settings").focus()
    await chat.page.keyboard.press("Enter")
    await expect(chat.page.get_by_role("dialog")).to_be_visible()
    await chat.page.keyboard.press("Escape")
    await expect(chat.page.get_by_role("dialog")).to_be_hidden()


async def test_a_narrow_window_is_enough(chat: Chat) -> None:
    """At 360 px nothing sticks out at the side, not even a long word or a long line of code."""
    await chat.page.set_viewport_size({"width": 360, "height": 640})
    await chat.open()
    await chat.say("x" * 300 + "\n```\n" + "y" * 300 + "\n```")
    await chat.until_ended()

    assert await chat.page.evaluate("document.documentElement.scrollWidth") == 360


async def _focused_name(page: Page) -> str:
    return str(await page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
