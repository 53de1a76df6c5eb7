"""/docs in a browser: everything that is described is on the page, and can be found."""

import pytest
from playwright.async_api import Browser, expect
from tests.servers import OrchestratorServer

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_page_shows_both_descriptions(chromium: Browser, server: OrchestratorServer) -> None:
    """A card for each operation, channel and message; no fault, and nothing that the policy forbids."""
    context = await chromium.new_context(viewport={"width": 390, "height": 800})
    page = await context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text))
    await page.goto(f"{server.url}/docs")

    openapi, asyncapi = [
        await (await page.request.get(f"{server.url}/{name}.json")).json() for name in ("openapi", "asyncapi")
    ]
    operations = [one["operationId"] for item in openapi["paths"].values() for one in item.values()]
    cards = [f"operation-{name}" for name in operations]
    cards += [f"channel-{name}" for name in asyncapi["channels"]]
    cards += [f"message-{name}" for name in asyncapi["components"]["messages"]]
    await expect(page.locator("article")).to_have_count(len(cards))
    for card in cards:
        await expect(page.locator(f"#{card}")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert faults == []
    await context.close()


async def test_what_is_typed_is_found(chromium: Browser, server: OrchestratorServer) -> None:
    """Only cards with every word stay, in the contents as well; an empty field brings all back."""
    context = await chromium.new_context()
    page = await context.new_page()
    await page.goto(f"{server.url}/docs")
    await page.locator("article").last.wait_for()
    every = await page.locator("article").count()
    await page.fill("#find", "seq_from delta")
    await expect(page.locator("article:visible")).to_have_count(1)
    await expect(page.locator("#message-AgentChunk")).to_be_visible()
    await expect(page.locator("#contents a:visible")).to_have_text(["agent_chunk"])
    await page.fill("#find", "")
    await expect(page.locator("article:visible")).to_have_count(every)
    await context.close()
