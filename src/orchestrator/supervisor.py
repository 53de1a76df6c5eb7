"""Keeps child processes running: started again when they die, stopped in time when we do."""

import asyncio
import signal
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

import msgspec

from orchestrator.errors import OrchestratorError
from orchestrator.tether import tethered

QUICK: Final = 5.0
"""Seconds; a process that dies younger than that has not really started."""

MAX_QUICK_DEATHS: Final = 5
IMPATIENCE: Final = 0.5
"""Seconds after which a second signal means what it says; shells and kernels send the first one twice."""

LAST_LINES: Final = 15
_LONGEST_PAUSE: Final = 5.0
_SETTINGS_FAULT: Final = 2


class ChildFailedError(OrchestratorError):
    """A child process died again and again; the message ends with its last lines."""


class Child(msgspec.Struct, frozen=True, kw_only=True):
    """What to run. Its environment is exactly `environment`."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    descriptors: Sequence[int] = ()
    stop_within: float
    """Seconds from SIGTERM to SIGKILL."""
    relayed: bool = False
    """Whether its output goes through us, so that we can show the end of it."""


class ChildKeeper:
    """One child process and its successors."""

    def __init__(self, child: Child, say: Callable[[str], None]) -> None:
        self._child = child
        self._say = say
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._quick_deaths = 0
        self._tail: deque[str] = deque(maxlen=LAST_LINES)

    async def keep(self) -> None:
        """Runs the child until `stop()`; raises `ChildFailedError` when starting it again is no use."""
        while not self._stopping:
            started = asyncio.get_running_loop().time()
            code = await self._run()
            if self._stopping:
                return
            lived = asyncio.get_running_loop().time() - started
            self._quick_deaths = self._quick_deaths + 1 if lived < QUICK else 1
            self._give_up_if_hopeless(code)
            pause = min(0.1 * 2 ** (self._quick_deaths - 1), _LONGEST_PAUSE)
            self._say(f"{self._child.name} {_how(code)}; starting it again")
            await asyncio.sleep(pause)

    async def stop(self) -> None:
        """SIGTERM, SIGKILL when `stop_within` has passed; gone when this returns."""
        self._stopping = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), self._child.stop_within)
        except TimeoutError:
            self._say(f"{self._child.name} did not stop within {self._child.stop_within:g} s: killed")
            self.kill()
            await process.wait()

    def kill(self) -> None:
        """SIGKILL, for who cannot wait."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    @property
    def last_lines(self) -> str:
        """The end of its output, where that goes through us."""
        return "\n".join(self._tail)

    async def _run(self) -> int:
        child = self._child
        output = asyncio.subprocess.PIPE if child.relayed else None
        self._process = process = await asyncio.create_subprocess_exec(
            *tethered(child.command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT if child.relayed else None,
            env=child.environment,
            pass_fds=child.descriptors,
            start_new_session=True,  # Ctrl-C reaches the whole group: only we may be in it
        )
        if self._stopping:  # told to while it was being started
            process.kill()
        relay = asyncio.create_task(self._relay(process.stdout)) if process.stdout else None
        code = await process.wait()
        if relay is not None:
            await asyncio.wait((relay,), timeout=1)  # what it started may hold the pipe open
            relay.cancel()
        return code

    async def _relay(self, output: asyncio.StreamReader) -> None:
        rest = b""
        while piece := await output.read(65_536):
            sys.stderr.buffer.write(piece)
            sys.stderr.buffer.flush()
            *lines, rest = (rest[-65_536:] + piece).split(b"\n")
            self._tail.extend(line.decode(errors="replace") for line in lines)

    def _give_up_if_hopeless(self, code: int) -> None:
        if code == _SETTINGS_FAULT or self._quick_deaths >= MAX_QUICK_DEATHS:
            raise ChildFailedError(f"{self._child.name} {_how(code)}, and again\n{self.last_lines}".rstrip())


class Supervisor:
    """Several children, until a signal says stop or one of them cannot be kept."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._keepers: list[ChildKeeper] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()
        self._told_at = 0.0

    def listen_for_signals(self) -> None:
        """From now on SIGINT, SIGTERM and SIGHUP end `wait`; a second one kills what is still there."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal)

    def start(self, child: Child) -> ChildKeeper:
        """Starts `child` and keeps it running."""
        keeper = ChildKeeper(child, self._say)
        self._keepers.append(keeper)
        self.watch(keeper.keep())
        return keeper

    def watch(self, work: Coroutine[Any, Any, None]) -> None:
        """Does `work` meanwhile; an exception of it ends `wait`."""
        self._tasks.append(asyncio.create_task(work))

    async def wait(self) -> None:
        """Returns at the first signal; raises `ChildFailedError` when a child cannot be kept."""
        self._tasks.append(told := asyncio.create_task(self._until_told()))
        pending = set(self._tasks)
        while not told.done():
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()

    async def stop(self, *, together: bool = False) -> None:
        """Ends all children, in the order in which they were started unless `together`."""
        if together:
            await asyncio.gather(*(keeper.stop() for keeper in self._keepers))
        else:
            for keeper in self._keepers:
                await keeper.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _until_told(self) -> None:
        await self._stop.wait()

    def _on_signal(self) -> None:
        now = asyncio.get_running_loop().time()
        if not self._stop.is_set():
            self._stop.set()
            self._told_at = now
        elif now - self._told_at > IMPATIENCE:
            for keeper in self._keepers:
                keeper.kill()


def _how(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
