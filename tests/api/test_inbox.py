"""What waits for a socket's application, whether its peer reads, and when it is pinged: without a task each."""

import asyncio

from tests.servers import wait_until

from orchestrator.api.inbox import Gate, Inbox
from orchestrator.api.keepalive import Waits


async def test_inbox() -> None:
    """Messages come in their order, to who waits already as to who asks later; `on_put` hears of each."""
    inbox = Inbox()
    heard: list[int] = []
    waiting = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    inbox.on_put = lambda: heard.append(inbox.qsize())
    inbox.put_nowait("first")
    inbox.put_nowait("second")
    assert [await waiting, await inbox.get()] == ["first", "second"]
    assert heard == [1, 2]
    assert inbox.empty()


async def test_gate() -> None:
    """Everybody passes an open one, and waits at a closed one until it opens; who gives up waiting is forgotten."""
    gate = Gate()
    await gate.wait()
    gate.clear()
    waiting = [asyncio.create_task(gate.wait()) for _ in range(2)]
    given_up = asyncio.create_task(gate.wait())
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    assert not any(task.done() for task in waiting)
    gate.set()
    await asyncio.gather(*waiting)
    assert gate.is_open


class Socket:
    """One that counts."""

    def __init__(self) -> None:
        self.called_at: list[float] = []

    def send_keepalive_ping(self) -> None:
        """It is time."""
        self.called_at.append(asyncio.get_running_loop().time())

    keepalive_timeout = send_keepalive_ping


async def test_waits() -> None:
    """Each is called once, never early; who has ended its wait is not called."""
    waits = Waits(0.1, lambda socket: socket.send_keepalive_ping())
    early, late, ended = Socket(), Socket(), Socket()
    began = asyncio.get_running_loop().time()
    waits.begin(early)
    waits.end(ended, waits.begin(ended))
    await asyncio.sleep(0.05)
    waits.begin(late)
    await wait_until(lambda: late.called_at)
    assert early.called_at[0] >= began + 0.1
    assert late.called_at[0] >= began + 0.15
    assert [len(socket.called_at) for socket in (early, late, ended)] == [1, 1, 0]
