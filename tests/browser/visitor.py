"""The chat page of a service that asks for tokens, as a person with a token sees it."""

import json
import time
from typing import Any, Final

from playwright.async_api import Locator, Page, Request, WebSocket, expect
from tests.browser.chat import Chat
from tests.security.minting import HS256, Issuer, bearer

from orchestrator.embedded import DEMO_TENANT

_LASTING: Final = 300.0
_PLACES: Final = """() => ({
  ...Object.fromEntries(Object.entries(localStorage)),
  location: location.href,
  page: document.documentElement.outerHTML,
  fields: Array.from(document.querySelectorAll("input, textarea"), (field) => field.value).join("\\n"),
})"""


class Visitor(Chat):
    """One window, and everything that it has asked for."""

    def __init__(self, page: Page, url: str) -> None:
        super().__init__(page, url)
        self.tokens: list[str] = []
        self.requests: list[Request] = []
        self.sockets: list[WebSocket] = []
        self.sent: list[dict[str, Any]] = []
        """Frames that the page has sent, on all its sockets."""
        self.written: list[str] = []
        """What it has written to the console of the browser."""
        page.on("request", self._note)
        page.on("websocket", self._listen)
        page.on("console", lambda message: self.written.append(message.text))

    def _note(self, request: Request) -> None:
        self.requests.append(request)

    def _listen(self, socket: WebSocket) -> None:
        self.sockets.append(socket)
        socket.on("framesent", lambda frame: self.sent.append(json.loads(frame)))

    def token(
        self, user: str = "ada", seconds: float = _LASTING, *, issuer: Issuer = HS256, **claims: Any
    ) -> str:
        """A token of the demo's tenant that ends in so many seconds."""
        now = time.time()
        honest = {"tenant_id": DEMO_TENANT, "tier": "professional", "iat": now, "exp": now + seconds}
        token = issuer.mint(**{"sub": user, **honest, **claims})
        self.tokens.append(token)
        return token

    async def administer(self, path: str, body: dict[str, Any] | None = None) -> None:
        """Have an administrator POST to a route below `/api/admin`."""
        headers = bearer(HS256.mint(sub="operator", scope="admin"))
        answer = await self.page.request.post(f"{self.url}/api/admin/{path}", headers=headers, data=body)
        assert answer.ok, await answer.text()

    async def enter(self, token: str) -> None:
        """Type a token into the dialog that is open, and press Enter."""
        await self.field.fill(token)
        await self.field.press("Enter")

    async def come_in(self, token: str) -> None:
        """Load the page, answer its question, and be connected."""
        await self.load()
        await expect(self.dialog).to_be_visible()
        await self.enter(token)
        await self.until_in()

    async def until_in(self) -> None:
        """Return once the question is gone and the page is connected."""
        await expect(self.dialog).to_be_hidden()
        await expect(self.connection).to_have_attribute("data-state", "connected")

    @property
    def dialog(self) -> Locator:
        """Where a token is asked for."""
        return self.page.locator("#token-dialog")

    @property
    def field(self) -> Locator:
        """Where the token goes."""
        return self.page.get_by_role("textbox", name="Token")

    @property
    def banner(self) -> Locator:
        """What stands above the conversation when something is to be done."""
        return self.page.locator("#banner")

    async def places(self) -> dict[str, str]:
        """Where a token has no business: by name, all the text that is there."""
        texts = dict(await self.page.evaluate(_PLACES))
        cookies = [str(cookie) for cookie in await self.page.context.cookies()]
        return texts | {
            "cookies": str(cookies),
            "urls": "\n".join(one.url for one in (*self.requests, *self.sockets)),
            "console": "\n".join(self.written),
        }
