"""A real Chromium before real processes: Valkey, the service and the demo worker."""

from collections.abc import AsyncIterator, Iterator
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect
from tests.browser.chat import Chat
from tests.browser.deployment import deployment
from tests.browser.visitor import Visitor
from tests.conftest import CHROMIUM
from tests.security.minting import HS256
from tests.servers import OrchestratorServer

PATIENCE_MS: Final = 15_000
"""How long a state may take to show on a machine that is busy with other tests."""

_ARGUMENTS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

collect_ignore_glob = [] if CHROMIUM.exists() else ["test_*.py"]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrchestratorServer]:
    """The demo, running; a test that ends its server starts it again."""
    with deployment(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture(scope="session")
def token_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrchestratorServer]:
    """The demo of a service that believes the tokens of `HS256`, and ends them to the second."""
    settings = {"ORCHESTRATOR_JWT_SECRET": HS256.settings["jwt_secret"], "ORCHESTRATOR_JWT_LEEWAY": "0"}
    with deployment(tmp_path_factory.mktemp("tokens"), settings) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """One browser for all tests; each gets a profile of its own."""
    expect.set_options(timeout=PATIENCE_MS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def chat(chromium: Browser, server: OrchestratorServer) -> AsyncIterator[Chat]:
    """A window of a browser that has never seen the page; a fault in the page fails the test."""
    context = await chromium.new_context(locale="en-US")
    page = await context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if "Security" in message.text else None)
    yield Chat(page, server.url)
    await context.close()
    assert not faults


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(chromium: Browser, token_server: OrchestratorServer) -> AsyncIterator[Visitor]:
    """A window on a service that asks for tokens. None of them may be anywhere but in this window (contract §6)."""
    context = await chromium.new_context(locale="en-US")
    page = await context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    visitor = Visitor(page, token_server.url)
    yield visitor
    places = await visitor.places()
    await context.close()
    assert not faults
    found = [(name, token) for name, text in places.items() for token in visitor.tokens if token in text]
    assert not found
