"""The chat page as a person sees it."""

import json
from typing import Any, Final

from playwright.async_api import Locator, Page, expect

# Every text that an answer has shown, in order, however short it stood there.
_RECORDER: Final = """
window.shownAnswers = [];
addEventListener("DOMContentLoaded", () => {
  const note = () => {
    for (const answer of document.querySelectorAll(".answer")) {
      const text = answer.textContent;
      if (text !== window.shownAnswers.at(-1)) window.shownAnswers.push(text);
    }
  };
  new MutationObserver(note).observe(document.body, { subtree: true, childList: true, characterData: true });
});
"""

ENDING_MS: Final = 30_000
"""How long an answer may take; the demo's echo takes up to 20 s for a long message."""


class Chat:
    """One window with the chat in it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url

    async def open(self, **settings: str) -> None:
        """Load the page; `settings` are those of the drawer that differ from the demo's."""
        await self.load()
        if settings:
            await self.set(**settings)
        await expect(self.connection).to_have_attribute("data-state", "connected")

    async def load(self) -> None:
        """Load the page, and wait for nothing more."""
        await self.page.add_init_script(_RECORDER)
        await self.page.goto(self.url)

    async def set(self, **settings: str) -> None:
        """Change settings by way of the drawer."""
        await self.page.get_by_role("button", name="Settings").click()
        for name, value in settings.items():
            await self.page.locator(f"dialog [name={name}]").fill(value)
        await self.page.get_by_role("button", name="Save").click()

    async def say(self, message: str) -> None:
        """Type a message and press Enter."""
        field = self.page.get_by_role("textbox", name="Message")
        await field.fill(message)
        await field.press("Enter")

    @property
    def connection(self) -> Locator:
        """The badge that tells the state of the connection."""
        return self.page.locator("#connection")

    @property
    def turns(self) -> Locator:
        """Questions with their answers, oldest first."""
        return self.page.locator(".turn")

    @property
    def answer(self) -> Locator:
        """The newest answer's text."""
        return self.turns.last.locator(".answer")

    @property
    def state(self) -> Locator:
        """What stands below the newest answer."""
        return self.turns.last.locator(".meta")

    @property
    def stop_button(self) -> Locator:
        """The button that stops the newest open task."""
        return self.page.locator("#stop")

    async def until_words(self, count: int) -> None:
        """Return once the newest answer has at least `count` words."""
        await self.page.wait_for_function(
            """n => {
              const answer = document.querySelector(".turn:last-child .answer");
              return answer !== null && answer.textContent.split(" ").length > n;
            }""",
            arg=count,
        )

    async def until_ended(self, status: str = "completed") -> None:
        """Return once the newest task has ended as `status`."""
        await expect(self.turns.last).to_have_attribute("data-status", status, timeout=ENDING_MS)

    async def shown_answers(self) -> list[str]:
        """Every text that the newest answer has had since the page was loaded."""
        return list(await self.page.evaluate("window.shownAnswers"))

    async def kept(self) -> dict[str, Any]:
        """What the page has written into the browser's storage about this conversation."""
        key, text = await self.page.evaluate(
            "Object.entries(localStorage).find(([key]) => key.startsWith('orchestrator.conversation:'))"
        )
        return {"key": key, **json.loads(text)}

    async def keep(self, changed: dict[str, Any]) -> None:
        """Put `changed`, once `kept`, in the place of what the page has written, and load the page anew."""
        key = changed["key"]
        text = json.dumps({name: value for name, value in changed.items() if name != "key"})
        # The page writes once more when it goes, so the change is made before the next one begins.
        await self.page.add_init_script(f"localStorage[{json.dumps(key)}] = {json.dumps(text)}")
        await self.page.reload()
