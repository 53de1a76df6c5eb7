"""A person sees why an answer has not begun; one who listens hears each reason once."""

from typing import Any

import pytest
from playwright.async_api import expect
from tests.browser.chat import Chat

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOBODY = "Nobody serves agent-nobody right now"


async def test_nobody_serves_the_agent(chat: Chat) -> None:
    """The page says so below the question, with its number in line, and says it aloud once; a stop clears it."""
    await chat.open(agent="agent-nobody")
    await chat.say("one")
    await expect(chat.state).to_contain_text("Queued, number 1 in line")
    await expect(chat.state).to_contain_text(NOBODY)
    await chat.say("two")
    await expect(chat.state).to_contain_text("Queued, number 2 in line")
    await expect(chat.state).to_contain_text(NOBODY)

    await chat.page.reload()
    await expect(chat.turns.first.locator(".more")).to_have_text(NOBODY)
    await expect(chat.turns.last.locator(".more")).to_have_text(NOBODY)
    for turn in (chat.turns.last, chat.turns.first):
        await chat.stop_button.click()
        await expect(turn.locator(".state")).to_have_text("Stopped")
        await expect(turn.locator(".more")).to_be_hidden()


async def test_told_aloud_once(chat: Chat) -> None:
    """Whoever listens hears a reason when it becomes another one, not each time that figures change."""
    waits = [
        ("3 ahead", [10, 20]), ("2 ahead", [5, 15]), ("a free worker", [0, 5]), ("a free worker", None),
        ("no worker for agent-9", None), (None, None), ("no worker for agent-9", None), ("1 ahead", None),
    ]  # fmt: skip
    script = """async (waits) => {
      const [{ Announcer }, { newTurn, act }, { reasonOf }, { speaker }] = await Promise.all(
        ["announcer", "turn", "waits", "texts"].map((name) => import(`/static/${name}.js`)));
      const region = document.createElement("div");
      const announcer = new Announcer(region);
      const turn = newTurn({ key: "k" });
      for (const [waiting_for, eta_seconds] of waits) {
        act(turn, "task_update", { status: "queued", attempt: 1, waiting_for, eta_seconds });
        announcer.tell(turn, "Queued", reasonOf(turn, speaker("en")));
      }
      return [...region.children].map((line) => line.textContent);
    }"""
    await chat.load()
    assert await chat.page.evaluate(script, waits) == [
        "3 ahead · begins in 10 s to 20 s",
        "All agents are busy · begins in 0 s to 5 s",
        "Nobody serves agent-9 right now",
        "1 ahead",
    ]


async def test_every_reason_has_its_words(chat: Chat) -> None:
    """What the service says in English is said in the person's language; what is not known is shown as it is."""
    spoken = {
        "no worker for agent-9": "Ahora mismo nadie atiende a agent-9",
        "tenant concurrency 5/5": "Ya están en curso las 5 tareas simultáneas permitidas",
        "3 ahead": "3 por delante",
        "more than 200 ahead": "Más de 200 por delante",
        "a free worker": "Todos los agentes están ocupados",
        "an earlier message of this session": "A la espera de un mensaje anterior de esta conversación",
        "the next attempt in 4 s": "Nuevo intento en 4 s",
        "a full moon": "a full moon",
    }
    script = """async (reasons) => {
      const { newTurn } = await import("/static/turn.js");
      const { reasonOf } = await import("/static/waits.js");
      const { speaker } = await import("/static/texts.js");
      const say = speaker("es");
      const told = reasons.map((reason) => reasonOf(newTurn({ key: "k", wait: { reason, eta: null } }), say).text);
      const eta = reasonOf(newTurn({ key: "k", wait: { reason: null, eta: [60, 600] } }), say).text;
      return [told, eta];
    }"""
    await chat.load()
    told: list[Any] = await chat.page.evaluate(script, list(spoken))
    assert told == [list(spoken.values()), "empieza dentro de 60 s a 10 min"]
