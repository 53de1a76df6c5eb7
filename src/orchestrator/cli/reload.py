"""Runs a command again whenever code changes, for development."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

from watchfiles import PythonFilter, awatch  # pyright: ignore[reportUnknownVariableType]

from orchestrator.tether import tethered

_POLITE: Final = 2
"""Signals that the process itself may answer."""


class Reloader:
    """Keeps `command` running on the code in `directory`.

    A change of a .py file below it ends the process with SIGTERM and starts it again. A process
    that ends by itself, say because its code cannot be imported, is started again by the next
    change. SIGINT and SIGTERM are passed on to it as SIGTERM, twice; the third kills it. What has
    not ended `patience` seconds after a change, because its code never waits, is killed as well.
    """

    def __init__(
        self, command: Sequence[str], directory: Path, say: Callable[[str], None], patience: float
    ) -> None:
        self._command = command
        self._directory = directory
        self._say = say
        self._patience = patience
        self._changed = asyncio.Event()
        self._told = asyncio.Event()
        self._stops = 0
        self._process: asyncio.subprocess.Process | None = None

    def run(self) -> int:
        """The exit code of the last process, once a signal has ended it; as shells count signals."""
        code = asyncio.run(self.keep())
        return code if code >= 0 else 128 - code

    def stop(self) -> None:
        """Ends it; again: without waiting for what runs; a third time: whatever it says."""
        self._stops += 1
        if self._told.is_set() and self._process and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM if self._stops <= _POLITE else signal.SIGKILL)
        self._told.set()

    async def keep(self) -> int:
        """The exit code of the last process, once `stop` or a signal has ended it."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        watching = asyncio.create_task(self._watch())
        await asyncio.sleep(0)  # from here on no change is missed
        code = 0
        while not self._told.is_set():
            self._changed.clear()
            code = await self._run_once()
        await watching
        return code

    async def _run_once(self) -> int:
        """Returns when the process has ended and there is a reason to go on."""
        self._process = process = await asyncio.create_subprocess_exec(
            *tethered(self._command),
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches the whole group: only we may be in it
            # Compiled files are told apart by second and length: a quick change could be taken for what it replaced.
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        )
        if not await _first(process.wait(), self._changed.wait(), self._told.wait()):
            process.terminate()
            return await self._ended(process)
        code = await process.wait()
        self._process = None
        self._say(f"The worker ended with exit code {code}; it starts again when a file changes.")
        await _first(self._changed.wait(), self._told.wait())
        return code

    async def _ended(self, process: asyncio.subprocess.Process) -> int:
        try:
            return await asyncio.wait_for(process.wait(), None if self._told.is_set() else self._patience)
        except TimeoutError:
            self._say("The worker does not end: killed.")
            process.kill()
            return await process.wait()

    async def _watch(self) -> None:
        async for changes in awatch(self._directory, watch_filter=PythonFilter(), stop_event=self._told):
            names = sorted({Path(path).relative_to(self._directory).as_posix() for _, path in changes})
            self._say(f"{', '.join(names)} changed: starting again.")
            self._changed.set()


async def _first(*waits: Coroutine[Any, Any, object]) -> bool:
    """Whether the first of them is over, once one of them is."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    over = tasks[0].done()
    for task in tasks:
        task.cancel()
    return over
