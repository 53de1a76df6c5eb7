"""A first piece without text, as streams of language models begin, is read from the log as what it is."""

from tests.broker.tenant import Tenant, callback, chunk


async def test_empty_first_piece(tenant: Tenant) -> None:
    """It stands for no text, though the text has been written since."""
    task = await tenant.task()
    await tenant.deliver(chunk(task, ""), callback(task, "progress", {"step": 1}), chunk(task, "Hello"))
    deltas = [frame["data"]["delta"] for frame in await tenant.frames() if frame["type"] == "agent_chunk"]
    assert deltas == ["", "Hello"]
