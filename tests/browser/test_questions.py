"""An agent asks, and whoever has the page before them answers."""

from typing import Any

import pytest
from playwright.async_api import Locator, expect
from tests.browser.chat import Chat

pytestmark = pytest.mark.asyncio(loop_scope="session")


def newest(chat: Chat) -> Locator:
    """The newest question of an agent."""
    return chat.page.locator(".ask").last


async def asked(chat: Chat) -> Locator:
    """The first question of the demo's agent that asks."""
    await chat.open(agent="agent-ask")
    await chat.say("something to drink, please")
    question = chat.page.locator(".ask").first  # another may come before the test looks again
    await expect(question.get_by_role("radio")).to_have_count(3)
    return question


async def send(question: Locator) -> None:
    """Press its button."""
    await question.get_by_role("button", name="Send answer").click()


async def test_choice_and_form(chat: Chat) -> None:
    """A choice, then a form; the agent goes on with both, and the questions stay as what was said."""
    question = await asked(chat)
    await expect(chat.state).to_contain_text("Waiting for your answer")
    await expect(question.get_by_role("form", name="What may I bring you?")).to_be_visible()
    await question.get_by_role("radio", name="tea").check()
    await send(question)

    await expect(chat.page.locator(".ask")).to_have_count(2)
    first, second = chat.page.locator(".ask").first, chat.page.locator(".ask").last
    await expect(first.locator(".given")).to_have_text("You answered: tea")
    await expect(first.locator("form")).to_be_hidden()
    await expect(second.locator(".prompt")).to_have_text("How many cups of tea, and for whom?")
    await expect(second.get_by_role("spinbutton", name="Cups")).to_have_value("1")
    await second.get_by_role("spinbutton", name="Cups").fill("2")
    await second.get_by_role("textbox", name="Name").fill("Ada")
    await second.get_by_role("textbox", name="Name").press("Enter")

    await chat.until_ended()
    await expect(chat.answer).to_have_text("2 × tea for Ada, coming up.")
    await expect(second.locator(".given")).to_have_text('You answered: {"cups":2,"name":"Ada"}')


async def test_nothing_chosen(chat: Chat) -> None:
    """The browser asks for what is missing, and nothing is sent."""
    question = await asked(chat)
    await send(question)
    await expect(question).to_have_attribute("data-state", "open")
    assert await question.locator("input:invalid").count() == 3


async def test_page_that_comes_back(chat: Chat) -> None:
    """A reload shows the question again, and it can be answered."""
    await asked(chat)
    await chat.page.reload()
    await expect(newest(chat).get_by_role("radio")).to_have_count(3)
    await newest(chat).get_by_role("radio", name="water").check()
    await send(newest(chat))
    await expect(newest(chat).locator(".prompt")).to_have_text("How many cups of water, and for whom?")


async def test_page_that_knows_nothing(chat: Chat) -> None:
    """A browser that lost all it knew of the conversation finds the open question in the ledgers."""
    await asked(chat)
    kept = await chat.kept()
    await chat.keep(kept | {"turns": [], "behind": True})
    await expect(newest(chat).get_by_role("radio")).to_have_count(3)


async def test_two_windows(chat: Chat) -> None:
    """What one window answers the other shows as answered; the page is never answered twice."""
    question = await asked(chat)
    other = Chat(await chat.page.context.new_page(), chat.page.url)
    await other.page.goto(chat.page.url)
    theirs = other.page.locator(".ask").first
    await expect(theirs.get_by_role("radio")).to_have_count(3)
    await question.get_by_role("radio", name="coffee").check()
    await send(question)
    await expect(theirs.locator(".given")).to_have_text("Answered in another window")
    await expect(theirs.locator("form")).to_be_hidden()
    await expect(other.page.locator(".ask").last.locator(".prompt")).to_contain_text("cups of coffee")


async def test_stopped_instead(chat: Chat) -> None:
    """The Stop button works while a question is open, and takes it away."""
    question = await asked(chat)
    await chat.stop_button.click()
    await chat.until_ended("cancelled")
    await expect(question.locator(".given")).to_have_text("No answer is needed any more")
    await expect(question.locator("form")).to_be_hidden()


async def test_it_is_read_out(chat: Chat) -> None:
    """People who listen hear what is asked, and the focus is never lost to nowhere."""
    question = await asked(chat)
    await expect(chat.page.locator("#announcements")).to_contain_text("What may I bring you?")
    await question.get_by_role("radio", name="tea").focus()
    await question.get_by_role("radio", name="tea").press("Space")
    await question.get_by_role("radio", name="tea").press("Enter")
    await expect(question.locator(".given")).to_be_focused()


# The page's own rules


async def _ask(chat: Chat, script: str, argument: object) -> Any:
    await chat.load()
    return await chat.page.evaluate(script, argument)


_FORM = """async (schemas) => {
  const { answerField } = await import("/static/ask_form.js");
  return schemas.map((schema) => {
    const field = answerField(schema, (name) => name, "x");
    const form = document.createElement("form");
    form.append(field.element);
    const shown = [...form.querySelectorAll("input, textarea, select")]
      .map((one) => one.tagName === "INPUT" ? one.type : one.tagName.toLowerCase());
    const labels = [...form.querySelectorAll("label, legend")].map((one) => one.textContent);
    return [shown, labels];
  });
}"""


async def test_fields(chat: Chat) -> None:
    """Simple schemas become fields with names of their own; anything else is written as JSON."""
    many = list(range(9))
    cases: list[tuple[Any, list[str], list[str]]] = [
        (None, ["textarea"], ["yourAnswer"]),
        ({"type": "string", "title": "City"}, ["textarea"], ["City"]),
        ({"type": "string", "maxLength": 10}, ["text"], ["yourAnswer"]),
        ({"type": "string", "format": "date"}, ["date"], ["yourAnswer"]),
        ({"type": "integer"}, ["number"], ["yourAnswer"]),
        ({"type": "boolean"}, ["radio"] * 2, ["yourAnswer", "yes", "no"]),
        ({"enum": ["a", 1, None]}, ["radio"] * 3, ["yourAnswer", "a", "1", "null"]),
        ({"oneOf": [{"const": 1, "title": "One"}]}, ["radio"], ["yourAnswer", "One"]),
        ({"enum": many}, ["select"], ["yourAnswer"]),
        ({"type": "array"}, ["textarea"], ["yourAnswer"]),
        ({"minimum": 3}, ["textarea"], ["yourAnswer"]),
        ({"type": "object", "properties": {"a": {"type": "object"}}}, ["textarea"], ["yourAnswer"]),
        (
            {"type": "object", "properties": {"a": {"type": "number"}, "b": {"enum": ["x"], "title": "B"}}},
            ["number", "radio"],
            ["yourAnswer", "a", "B", "x"],
        ),
    ]
    found = await _ask(chat, _FORM, [schema for schema, _, _ in cases])
    assert found == [[shown, labels] for _, shown, labels in cases]


_READ = """async ([schema, filled]) => {
  const { answerField } = await import("/static/ask_form.js");
  const field = answerField(schema, (name) => name, "x");
  document.body.append(field.element);
  const inputs = [...field.element.querySelectorAll("input, textarea, select")];
  for (const [index, value] of Object.entries(filled)) {
    if (value === true) inputs[index].checked = true;
    else inputs[index].value = value;
  }
  const read = field.read();
  return read === undefined ? "nothing" : { read };
}"""

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "fit": {"type": "boolean"}},
    "required": ["name"],
}


@pytest.mark.parametrize(
    ("schema", "filled", "answer"),
    [
        (None, {"0": "hello"}, "hello"),
        ({"type": "integer"}, {"0": "12"}, 12),
        ({"type": "number"}, {"0": "1.5"}, 1.5),
        ({"type": "number"}, {}, "nothing"),
        ({"type": "boolean"}, {"1": True}, False),
        ({"enum": ["a", None]}, {"1": True}, None),
        ({"enum": [1, 2, 3, 4, 5, 6, 7]}, {"0": "6"}, 7),
        (PERSON, {"0": "Ada"}, {"name": "Ada"}),
        (PERSON, {"0": "Ada", "1": "36", "3": True}, {"name": "Ada", "age": 36, "fit": False}),
        ({"type": "array"}, {"0": "[1, 2]"}, [1, 2]),
        ({"type": "array"}, {"0": "[1, 2"}, "nothing"),
    ],
)
async def test_what_is_read(chat: Chat, schema: Any, filled: dict[str, Any], answer: Any) -> None:
    """Each field gives the JSON that its schema means; what was left empty is left out."""
    found = await _ask(chat, _READ, [schema, filled])
    assert found == ("nothing" if answer == "nothing" else {"read": answer})


_PLAY = """async (updates) => {
  const { newTurn, act, settle } = await import("/static/turn.js");
  const turn = newTurn({ key: "k", task: "t" });
  return updates.map(([type, data]) => {
    if (type === "ledger") settle(turn, data);
    else if (type === "sending") turn.asks[0].state = "sending";
    else act(turn, type, data);
    return [turn.status, turn.asks.map((ask) => `${ask.name} ${ask.state}`).join(", ")];
  });
}"""


def _question(name: str) -> list[Any]:
    return [
        "task_update",
        {"status": "input_required", "attempt": 1, "detail": {"question": name, "prompt": "?"}},
    ]


def _running(detail: dict[str, Any] | None = None, attempt: int = 1) -> list[Any]:
    return ["task_update", {"status": "running", "attempt": attempt, "detail": detail}]


@pytest.mark.parametrize(
    ("updates", "ends"),
    [
        ([_question("1"), _running({"question": "1", "answered": True})], ["running", "1 answered"]),
        ([_question("1"), _running({"question": "1", "expired": True})], ["running", "1 expired"]),
        ([_question("1"), _running()], ["running", "1 over"]),
        ([_question("1"), _question("2")], ["input_required", "1 over, 2 open"]),
        ([_question("1"), ["task_update", {"status": "progress"}]], ["input_required", "1 open"]),
        ([_question("1"), ["agent_chunk", {"delta": "a", "attempt": 1}]], ["input_required", "1 open"]),
        ([_question("1"), ["task_update", {"status": "retrying", "attempt": 2}]], ["retrying", "1 open"]),
        (
            [_question("1"), ["task_update", {"status": "retrying", "attempt": 2}], _running(None, 2)],
            ["running", "1 open"],
        ),
        ([_question("1"), ["error", {"status": "cancelled"}]], ["cancelled", "1 over"]),
        (
            [_question("1"), ["sending", None], _running({"question": "1", "answered": True})],
            ["running", "1 sending"],
        ),
        (
            [["ledger", {"status": "input_required", "input_required": {"question": "1"}}]],
            ["input_required", "1 open"],
        ),
        ([_question("1"), ["ledger", {"status": "running", "input_required": None}]], ["running", "1 over"]),
    ],
)
async def test_life_of_a_question(chat: Chat, updates: list[Any], ends: list[str]) -> None:
    """What the log and the ledgers tell of a question, whatever goes on beside it."""
    assert (await _ask(chat, _PLAY, updates))[-1] == ends
