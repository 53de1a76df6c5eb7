"""The code of docs/frontends.md, in a browser, on a page of another origin."""

import json
import time
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from threading import Thread
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Request
from tests.browser.deployment import deployment
from tests.contract.socket_client import epoch_of, offset_of
from tests.pages import blocks, page
from tests.security.minting import HS256, bearer
from tests.servers import OrchestratorServer, wait_until

from orchestrator.embedded import DEMO_TENANT

pytestmark = pytest.mark.asyncio(loop_scope="session")

GUIDE: Final = blocks(page("docs/frontends.md"))
SCRIPTS: Final = {
    f"/{block.code.split()[1]}": block.code for block in GUIDE if block.language == "js"
}  # each begins with its name in a comment
(LISTED,) = [block.code for block in GUIDE if "ORCHESTRATOR_ALLOWED_ORIGINS=" in block.code]
EXAMPLE: Final = "http://localhost:3000"
"""Where the guide has its own page; ours has a port of its own."""

_FOLLOW: Final = """async ([kind, service, session, position]) => {
  const { follow, stream } = { ...(await import("/follow.js")), ...(await import("/stream.js")) };
  window.seen = []; window.gaps = 0; window.over = null;
  window.following = { follow, stream }[kind]({
    service, session, position, getToken: (fresh) => mint(fresh),
    onFrame: (frame) => seen.push(frame),
    onGap: () => (gaps += 1),
    onOver: (...why) => (over = why),
  });
}"""


class Home(BaseHTTPRequestHandler):
    """The server of the page: an empty document, and the guide's modules beside it."""

    def do_GET(self) -> None:
        script = SCRIPTS.get(self.path)
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if script is None else "text/javascript")
        self.end_headers()
        self.wfile.write((script or "<!doctype html>").encode())

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Nothing to say."""


@pytest.fixture(scope="session")
def home() -> Iterator[str]:
    """The origin of the page. A page that no server brought may ask nothing of this machine (Chromium)."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Home) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()
        serving.join()


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, home: str) -> Iterator[OrchestratorServer]:
    """The demo with tokens, which lets in the origins that the guide lists."""
    origins = LISTED.partition("=")[2].strip()
    assert EXAMPLE in origins
    settings = {
        "ORCHESTRATOR_JWT_SECRET": HS256.settings["jwt_secret"],
        "ORCHESTRATOR_JWT_LEEWAY": "0",
        "ORCHESTRATOR_ALLOWED_ORIGINS": origins.replace(EXAMPLE, home),
    }
    with deployment(tmp_path_factory.mktemp("frontends"), settings) as running:
        yield running


class Frontend:
    """A page that has the guide's modules, and a login that issues tokens of `seconds`."""

    def __init__(self, page: Page, service: OrchestratorServer) -> None:
        self.page = page
        self.service = service
        self.user = "ada"
        self.seconds = 300.0
        self.asked: list[bool] = []
        """For each token that the page asked for, whether it had to be another one."""
        self.streams: list[str] = []
        """The address of each stream that the page opened."""
        page.on("request", self._note)

    async def open(self, home: str) -> None:
        """Load it."""
        window: Any = self.page  # its types are not complete
        await window.expose_function("mint", self._mint)
        await self.page.goto(home)

    def _note(self, request: Request) -> None:
        if "/events?" in request.url:
            self.streams.append(request.url)

    def _mint(self, fresh: bool = False) -> str:
        self.asked.append(fresh)
        now = time.time()
        claims = {"tenant_id": DEMO_TENANT, "tier": "professional", "iat": now, "exp": now + self.seconds}
        return HS256.mint(sub=self.user, **claims)

    async def follow(self, session: str, position: str | None = None, kind: str = "follow") -> None:
        """Follow a session by this module."""
        await self.page.evaluate(_FOLLOW, [kind, self.service.url, session, position])

    async def frames(self, kind: str) -> list[dict[str, Any]]:
        """What came of this type."""
        seen: list[dict[str, Any]] = await self.page.evaluate("seen")
        return [frame for frame in seen if frame["type"] == kind]

    async def until(self, kind: str, count: int = 1) -> None:
        """Returns once so many of this type have come."""

        async def has_come() -> bool:
            return len(await self.frames(kind)) >= count

        await wait_until(has_come, 15)

    async def say(self, session: str, message: str, agent: str = "agent-123") -> None:
        """Have the service take a message."""
        answer = await self.page.request.post(
            f"{self.service.url}/api/chat/send",
            headers={**bearer(self._mint()), "X-Agent-ID": agent, "X-Session-ID": session},
            data={"message": message},
        )
        assert answer.status == 202, await answer.text()

    async def has_every_event(self) -> None:
        """What came since the first event leaves no hole and has nothing twice."""
        events = [frame for frame in await self.page.evaluate("seen") if "position" in frame]
        for before, event in pairwise(events):
            expected = offset_of(before["position"]) + event.get("covers", 1)
            assert epoch_of(event["position"]) == epoch_of(before["position"])
            assert offset_of(event["position"]) == expected, json.dumps([before, event])


@pytest_asyncio.fixture(loop_scope="session")
async def frontend(chromium: Browser, service: OrchestratorServer, home: str) -> AsyncIterator[Frontend]:
    """A window on such a page; a fault of the guide's code fails the test."""
    context = await chromium.new_context()
    window = await context.new_page()
    faults: list[str] = []
    window.on("pageerror", lambda error: faults.append(str(error)))
    frontend = Frontend(window, service)
    await frontend.open(home)
    yield frontend
    await context.close()
    assert not faults


async def test_ask_and_follow(frontend: Frontend) -> None:
    """The page's own example: a message is sent, and its answer comes."""
    await frontend.page.evaluate(
        """async (service) => {
          window.login = async () => ({ token: await mint() });
          const { ask, chat } = await import("/page.js");
          window.seen = [];
          chat(service, "asked", (frame) => seen.push(frame), () => {});
          const answer = await ask(service, "asked", "agent-123", "Hello there");
          if (answer.status !== 202) throw new Error(await answer.text());
        }""",
        frontend.service.url,
    )
    await frontend.until("agent_response")
    (ending,) = await frontend.frames("agent_response")
    assert ending["data"]["response"] == "You said: Hello there"


async def test_a_message_goes_with_another_token(frontend: Frontend) -> None:
    """After 401 the send is repeated with a fresh token, and with its key."""
    frontend.seconds = -5
    sent: list[str] = []
    frontend.page.on("request", lambda request: sent.append(request.headers.get("idempotency-key", "")))
    await frontend.page.evaluate("() => { window.login = async () => ({ token: await mint() }) }")
    asking = "async (service) => (await (await import('/page.js')).ask(service, 'again', 'agent-123', 'Hi')).status"
    assert await frontend.page.evaluate(asking, frontend.service.url) == 401
    keys = [key for key in sent if key]
    assert len(frontend.asked) == len(keys) == 2
    assert len(set(keys)) == 1


async def test_a_token_is_renewed_in_time(frontend: Frontend) -> None:
    """One socket outlives its tokens: each brings the next, and no event is missed meanwhile."""
    frontend.seconds = 3
    await frontend.follow("renewed")
    await frontend.until("authenticated", 3)
    await frontend.say("renewed", "Hello there")
    await frontend.until("agent_response")
    assert len(await frontend.frames("connection_ack")) == 1
    assert frontend.asked[:3] == [False, True, True]
    await frontend.has_every_event()


async def test_a_killed_server(frontend: Frontend) -> None:
    """The module comes back with its position and has everything since, once."""
    await frontend.follow("killed")
    await frontend.say("killed", "first")
    await frontend.until("agent_response")
    frontend.service.kill()
    frontend.service.start()
    await frontend.say("killed", "second")
    await frontend.until("agent_response", 2)
    assert await frontend.page.evaluate("gaps") == 0
    await frontend.has_every_event()


async def test_a_position_that_is_lost(frontend: Frontend) -> None:
    """Where events cannot be told any more the module says so, and goes on from now."""
    await frontend.follow("lost", "0123456789abcdef:7-1")
    await frontend.until("authenticated")
    assert await frontend.page.evaluate("gaps") == 1
    await frontend.say("lost", "Hello")
    await frontend.until("agent_response")


@pytest.mark.parametrize(("user", "seconds", "code"), [("ada", -5, 4401), ("eve", 300, 4403)])
async def test_useless_tries_end(frontend: Frontend, user: str, seconds: float, code: int) -> None:
    """Three bad tokens in a row, or a session that is somebody else's: the module gives up and says why."""
    await frontend.say("taken", "mine")
    frontend.user, frontend.seconds = user, seconds
    await frontend.follow("taken")
    await wait_until(lambda: frontend.page.evaluate("over"), 15)
    assert (await frontend.page.evaluate("over"))[0] == code
    assert len(frontend.asked) == (4 if code == 4401 else 2)


async def test_a_stream_outlives_its_token(frontend: Frontend) -> None:
    """When the token of its ticket has ended, it goes on with another ticket where it stood."""
    frontend.seconds = 2
    await frontend.follow("streamed", kind="stream")
    await frontend.until("connection_ack")
    await frontend.say("streamed", "first")
    await frontend.until("agent_response")
    (ending,) = await frontend.frames("agent_response")
    await frontend.until("connection_ack", 2)
    await frontend.say("streamed", "second")
    await frontend.until("agent_response", 2)
    assert True in frontend.asked
    assert parse_qs(urlsplit(frontend.streams[-1]).query)["position"] == [ending["position"]]
    await frontend.has_every_event()


async def test_a_stream_that_is_refused(frontend: Frontend) -> None:
    """Without a ticket there is none: after three bad tokens in a row the page hears why."""
    frontend.seconds = -5
    await frontend.follow("refused", kind="stream")
    await wait_until(lambda: frontend.page.evaluate("over"), 15)
    assert (await frontend.page.evaluate("over"))[0]["code"] == "unauthorized"
    assert frontend.asked == [False, True, True]
    assert frontend.streams == []
