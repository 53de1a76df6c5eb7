"""Sends and frames of odd JSON: refused in words, or taken and passed on as strict JSON (contract §3, §4).

Few in the suite, the same each time; `make fuzz` tries many more, and others at each run.
"""

import os
from typing import Any, Final

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.contract.client import Caller
from tests.contract.conftest import NewTenant
from tests.contract.socket_client import Socket, watch
from tests.generated import bounds
from tests.odd_json import AROUND, BROKEN, membered, values
from tests.servers import OrchestratorServer
from tests.strict_json import strict_json

EXAMPLES: Final = int(os.environ.get("FUZZ_EXAMPLES", "0"))
FEW: Final = 100
MEMBERS: Final = (
    "user_info",
    "metadata",
    "stream",
    "max_iterations",
    "timeout",
    "turn_policy",
    "message_type",
    "x",
)
KINDS: Final = (
    b'"send"', b'"send"', b'"send"', b'"cancel"', b'"answer"', b'"ack"', b'"ping"', b'"subscribe"', b'"unsubscribe"',
    b'"auth"', b'"x"',
)  # fmt: skip
FRAME_MEMBERS: Final = (
    "request_id", "task_id", "position", "events", "topics", "answer", "question", "conversation_id", "idempotency_key",
    "context_type", *MEMBERS,
)  # fmt: skip
AMPLE: Final[dict[str, int]] = {
    "requests_per_minute": 1_000_000,
    "max_outstanding": 100_000,
    "messages_per_second": 100_000,
}

pytestmark = pytest.mark.timeout(110 + 2 * EXAMPLES)


@st.composite
def objects(draw: st.DrawFn, known: list[tuple[bytes, bytes]], names: tuple[str, ...]) -> bytes:
    """An object with what it needs, mostly, and odd members."""
    told = draw(st.lists(st.sampled_from(names), max_size=3, unique=True))
    members = known + [(f'"{name}"'.encode(), draw(values)) for name in told]
    if draw(st.integers(0, 9)) == 0:
        members.append((b'"metadata"', draw(st.sampled_from(BROKEN))))
    around = st.sampled_from(AROUND)
    return draw(around) + membered(draw(st.permutations(members))) + draw(around)


messages = st.sampled_from([b'"Hello"', b'"Hello"', b'"\\ud83d\\ude80\\u0000"']) | values
bodies = messages.flatmap(lambda message: objects([(b'"message"', message)], MEMBERS))


def frames_to(agent: str) -> st.SearchStrategy[str]:
    """Frames for a socket, whose text is UTF-8 always: anything else is a close of its own."""

    def frame(kind: bytes, message: bytes) -> st.SearchStrategy[bytes]:
        known = [(b'"type"', kind), (b'"message"', message), (b'"agent_id"', f'"{agent}"'.encode())]
        return objects(known if kind == b'"send"' else known[:1], FRAME_MEMBERS)

    raws = st.tuples(st.sampled_from(KINDS), messages).flatmap(lambda told: frame(*told))
    return raws.map(lambda raw: raw.decode("utf-8", "replace"))


def some(strategy: st.SearchStrategy[Any]) -> list[Any]:
    """So many of them."""
    found: list[Any] = []

    @bounds(FEW, 20 * EXAMPLES)
    @given(strategy)
    def collect(one: Any) -> None:
        found.append(one)

    collect()
    return found


@pytest.fixture
async def ample(http: httpx.AsyncClient, new_tenant: NewTenant) -> Caller:
    """A caller whose tenant has no limits to speak of."""
    return Caller(http, await new_tenant("professional", **AMPLE))


async def test_odd_bodies(ample: Caller, redis_client: Any) -> None:
    """A send is accepted, and its task is strict JSON, or it is refused in words and nothing is pushed."""
    accepted = 0
    for raw in some(bodies):
        ample.session_id = f"sess-{accepted // 50}"  # a session has a limit by the hour
        answer = await ample.post({"Content-Type": "application/json"}, content=raw)
        told = strict_json(answer.content)
        assert answer.status_code in {202, 400}, (raw, told)
        pushed = await redis_client.rpop(ample.tenant.queue())
        assert (pushed is not None) == (answer.status_code == 202), raw
        if pushed:
            accepted += 1
            assert strict_json(pushed)["task_id"] == told["task_id"]
    assert accepted


async def test_odd_frames(service: OrchestratorServer, ample: Caller) -> None:
    """Each gets one answer, in strict JSON, and the socket stays; only an `ack` may get none."""
    frames = some(frames_to(ample.tenant.agent))
    for start in range(0, len(frames), 20):  # of pings and acks a socket has a budget
        async with watch(service, ample) as socket:
            for frame in frames[start : start + 20]:
                await one_answer(socket, frame)


async def one_answer(socket: Socket, frame: str) -> None:
    """What comes before the answer to something that is known to be refused."""
    await socket.connection.send(frame)
    fence = {"type": "cancel", "task_id": "task-nobodys", "request_id": "fence"}
    answers = [await socket.answer(fence)]
    while answers[-1]["data"].get("request_id") != "fence":
        answers.append(await socket.frame())
    told = [answer for answer in answers[:-1] if "position" not in answer]
    assert len(told) == 1 or (not told and '"ack"' in frame), (frame, told)
    assert all(answer["data"].get("code") != "internal" for answer in told), (frame, told)
