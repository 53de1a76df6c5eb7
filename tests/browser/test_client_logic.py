"""The page's own rules, asked of its modules as the browser has loaded them."""

from typing import Any

import pytest
from tests.browser.chat import Chat

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _ask(chat: Chat, script: str, argument: object = None) -> Any:
    await chat.load()
    return await chat.page.evaluate(script, argument)


async def test_continuity(chat: Chat) -> None:
    """After 5 comes 6, or what covers the distance; anything else above 5 proves a hole."""
    expected = {
        ("e:6-1", 1): "next",
        ("e:9-1", 4): "next",
        ("e:7-1", 1): "hole",
        ("e:9-1", 5): "hole",
        ("e:5-1", 1): "seen",
        ("e:4-1", 1): "seen",
        ("f:6-1", 1): "hole",
        ("unreadable", 1): "hole",
    }
    script = """async (cases) => {
      const { Cursor } = await import("/static/cursor.js");
      return cases.map(([position, covers]) => {
        const cursor = new Cursor("e:5-1");
        return [cursor.take(position, covers), cursor.position];
      });
    }"""
    found = await _ask(chat, script, list(expected))

    assert dict(zip(expected, (verdict for verdict, _ in found), strict=True)) == expected
    assert [position for verdict, position in found if verdict != "next"] == ["e:5-1"] * 6


async def test_close_codes(chat: Chat) -> None:
    """Every close code leads to what the table asks of a client."""
    named = '{"retry_after_ms": 250}'
    expected = {
        (1000, ""): {"action": "done", "reason": ""},
        (4400, "why"): {"action": "refused", "reason": "why"},
        (4401, "why"): {"action": "refused", "reason": "why"},
        (4403, "why"): {"action": "refused", "reason": "why"},
        (1012, "not JSON"): {"action": "retry"},
    }
    expected |= {(code, named): {"action": "wait", "ms": 250} for code in (1012, 1013, 4429)}
    expected |= {(code, ""): {"action": "retry"} for code in (1001, 1006, 1011, 4408, 4999)}
    script = """async (cases) => {
      const { judge } = await import("/static/closing.js");
      return cases.map(([code, reason]) => judge(code, reason));
    }"""

    assert dict(zip(expected, await _ask(chat, script, list(expected)), strict=True)) == expected


async def test_back_off(chat: Chat) -> None:
    """Waits are drawn from nothing to a bound that doubles from half a second to 20 s."""
    script = """async () => {
      const { backoff } = await import("/static/backoff.js");
      return [1, 2, 6, 7, 500].map((tries) => [backoff(tries, () => 0), backoff(tries, () => 1)]);
    }"""

    assert await _ask(chat, script) == [[0, 500], [0, 1000], [0, 16_000], [0, 20_000], [0, 20_000]]


_PLAY = """async (frames) => {
  const { Transcript } = await import("/static/transcript.js");
  const transcript = new Transcript();
  const seen = frames.map(([type, data]) => {
    transcript.apply({ type, data, task_id: "task-1" });
    const { status, answer, code } = transcript.turns[0];
    return [status, answer, code];
  });
  return seen;
}"""


async def test_a_retry_discards(chat: Chat) -> None:
    """On `retrying`, and on a chunk of a higher attempt, the text so far goes."""
    frames = [
        ["agent_chunk", {"delta": "first ", "attempt": 1}],
        ["task_update", {"status": "retrying", "attempt": 2}],
        ["agent_chunk", {"delta": "second ", "attempt": 2}],
        ["agent_chunk", {"delta": "late ", "attempt": 1}],
        ["agent_chunk", {"delta": "third ", "attempt": 3}],
    ]

    assert await _ask(chat, _PLAY, frames) == [
        ["running", "first ", None],
        ["retrying", "", None],
        ["running", "second ", None],
        ["running", "second ", None],
        ["running", "third ", None],
    ]


async def test_one_ending(chat: Chat) -> None:
    """The first ending counts; whatever follows changes nothing."""
    frames = [
        ["agent_chunk", {"delta": "so far", "attempt": 1}],
        ["error", {"status": "timeout", "code": "deadline", "message": "Too late."}],
        ["agent_chunk", {"delta": " and more", "attempt": 2}],
        ["agent_response", {"response": "whole", "status": "completed"}],
    ]

    seen = await _ask(chat, _PLAY, frames)

    assert seen[1:] == [["timeout", "so far", "deadline"]] * 3


@pytest.mark.parametrize(
    ("language", "superseded", "merged"),
    [
        ("en", "A newer message took its place", "Answered together with another message"),
        ("es", "Un mensaje más reciente ocupó su lugar", "Se responde junto con otro mensaje"),
    ],
)
async def test_a_message_that_another_stands_for(
    chat: Chat, language: str, superseded: str, merged: str
) -> None:
    """It reads as what happened, in a quiet tone; its code and the sentence of the service are not shown."""
    script = """async (language) => {
      const { newTurn, act } = await import("/static/turn.js");
      const { describe } = await import("/static/wording.js");
      const { speaker } = await import("/static/texts.js");
      return ["superseded", "merged", "suspended"].map((code) => {
        const turn = newTurn({ key: code });
        act(turn, "error", { status: "cancelled", code, message: "Said." });
        return describe(turn, speaker(language), 0);
      });
    }"""

    first, second, third = await _ask(chat, script, language)

    assert first == {"tone": "quiet", "text": superseded, "more": None}
    assert second == {"tone": "quiet", "text": merged, "more": None}
    assert (third["tone"], third["more"]) == ("quiet", "Said.")


async def test_events_before_the_answer_to_the_send(chat: Chat) -> None:
    """Events that overtake the 202 join their question when it comes; there is one turn."""
    script = """async () => {
      const { Transcript } = await import("/static/transcript.js");
      const transcript = new Transcript();
      const turn = transcript.ask("question", { agent: "a", user: "" });
      transcript.apply({ type: "agent_chunk", data: { delta: "early", attempt: 1 }, task_id: "task-1" });
      transcript.accepted(turn, "task-1", null);
      transcript.apply({ type: "agent_response", data: { response: "early and late" }, task_id: "task-1" });
      return transcript.turns.map(({ question, answer, status }) => [question, answer, status]);
    }"""

    assert await _ask(chat, script) == [["question", "early and late", "completed"]]


async def test_the_copy_in_the_browser_is_bounded(chat: Chat) -> None:
    """The newest turns are kept, open ones always, and of many conversations the last five."""
    script = """async () => {
      const { Archive } = await import("/static/archive.js");
      const { newTurn } = await import("/static/turn.js");
      const turn = (n) => newTurn({ key: `k${n}`, status: n === 3 ? "queued" : "completed", answer: "x" });
      const turns = Array.from({ length: 300 }, (_, n) => turn(n));
      for (let n = 0; n < 9; n += 1) {
        const archive = new Archive(localStorage, { tenant: "bounded", session: `s${n}` });
        archive.prune();
        archive.save({ position: "e:1-1", behind: false, turns });
      }
      const kept = new Archive(localStorage, { tenant: "bounded", session: "s8" }).load().turns;
      const others = Object.keys(localStorage).filter((key) => key.includes("bounded"));
      return [kept[0].key, kept[1].key, kept.length, others.length];
    }"""

    assert await _ask(chat, script) == ["k3", "k200", 101, 5]
