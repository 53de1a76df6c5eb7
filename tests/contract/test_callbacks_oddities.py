"""JSON that readers disagree about becomes one and the same repaired event everywhere (contract §4, §5).

A callback with such a value either counts, and then every transport shows the same strict JSON, or it is a
dead letter, and then the task goes on. It never blocks the queue and never disappears.
"""

from typing import Any

import pytest
from tests.contract.client import Agent, Caller
from tests.contract.conftest import Command
from tests.contract.exchange import asked, dead_letters, ended, push
from tests.contract.socket_client import Frame, watch
from tests.servers import OrchestratorServer
from tests.strict_json import strict_json

ODD_VALUES: dict[str, bytes] = {
    "invalid UTF-8": b'"a\xff\xfeb"',
    "cut UTF-8": b'"a\xe2\x82"',
    "overlong UTF-8": b'"\xc0\xaf"',
    "UTF-8 surrogate": b'"\xed\xa0\x80"',
    "beyond Unicode": b'"\xf5\x80\x80\x80"',
    "lone high surrogate": b'"\\ud800"',
    "lone low surrogate": b'"a\\udc00b"',
    "surrogates reversed": b'"\\udc00\\ud800"',
    "surrogate pair": b'"\\ud83d\\ude80"',
    "escaped zero": b'"a\\u0000b"',
    "raw zero": b'"a\x00b"',
    "raw newline": b'"a\nb"',
    "raw tab": b'"a\tb"',
    "raw control": b'"a\x01\x1fb"',
    "delete": b'"\x7f"',
    "line separators": '"a\u2028b\u2029c"'.encode(),
    "bad escape": b'"\\x41"',
    "short escape": b'"\\u00"',
    "quotes of another kind": b"'a'",
    "NaN": b"NaN",
    "-NaN": b"-NaN",
    "nan": b"nan",
    "Infinity": b"Infinity",
    "-Infinity": b"-Infinity",
    "inf": b"inf",
    "leading zero": b"01",
    "leading plus": b"+1",
    "leading point": b".5",
    "trailing point": b"1.",
    "hexadecimal": b"0x10",
    "minus zero": b"-0",
    "huge integer": b"1" * 400,
    "just over 64 bits": b"18446744073709551616",
    "just over 53 bits": b"9007199254740993",
    "huge float": b"1e999",
    "negative huge float": b"-1e999",
    "tiny float": b"1e-999",
    "undefined": b"undefined",
    "capital True": b"True",
    "nothing": b"",
    "trailing comma": b"[1,]",
    "comment": b"/* x */ 1",
    "duplicate members": b'{"a":1,"a":2}',
    "empty name": b'{"":1}',
    "odd names": b'{"\\ud800":1,"\xff":2,"\\u0000":3}',
    "numeric name": b"{1:2}",
    "deep arrays": b"[" * 200 + b"]" * 200,
    "deeper arrays": b"[" * 5000 + b"]" * 5000,
    "deep objects": b'{"a":' * 900 + b"1" + b"}" * 900,
    "unclosed": b"[[[",
    "sparse": b"[null,null,{}]",
    "empty object": b"{}",
    "empty array": b"[]",
}  # fmt: skip

odd_values = pytest.mark.parametrize("value", ODD_VALUES.values(), ids=ODD_VALUES.keys())


def raw(task: dict[str, Any], status: str, name: str, value: bytes) -> bytes:
    """A callback with `value` as it stands in `result.<name>`."""
    head = f'{{"task_id":"{task["task_id"]}","status":"{status}","result":{{"{name}":'
    return head.encode() + value + b"}}"


@odd_values
async def test_in_an_answer(service: OrchestratorServer, caller: Caller, agent: Agent, value: bytes) -> None:
    """An ending with it: the same live, on resume, and in the ledger; or the next ending counts."""
    async with watch(service, caller) as live:
        accepted, task = await asked(caller, agent)
        await push(agent, task, raw(task, "completed", "response", value))
        await agent.complete(task, "instead")
        frame = await live.ending(task["task_id"])
    ledger = strict_json((await caller.get(f"/api/chat/tasks/{task['task_id']}")).content)
    assert ledger["result"]["response"] == frame["data"]["response"]
    assert (frame["type"], frame["data"]["status"]) == ("agent_response", "completed")
    async with watch(service, caller, accepted["position"]) as later:
        assert (await later.caught_up())[-1] == frame


async def test_nothing_disappears(caller: Caller, agent: Agent, orchestrator: Command) -> None:
    """What did not count as the ending is a dead letter, each of them once."""
    tasks: list[dict[str, Any]] = []
    for value in ODD_VALUES.values():
        _, task = await asked(caller, agent)
        await push(agent, task, raw(task, "completed", "response", value))
        await agent.complete(task, "instead")
        tasks.append(await ended(caller, task["task_id"]))
    refused = sum(task["result"]["response"] == "instead" for task in tasks)
    assert 0 < refused < len(ODD_VALUES)
    assert len(await dead_letters(orchestrator, caller.tenant.id)) == refused


@pytest.mark.parametrize("padding", [0, 70_000], ids=["small", "large"])
@odd_values
async def test_beside_an_answer(
    service: OrchestratorServer, caller: Caller, agent: Agent, value: bytes, padding: int
) -> None:
    """An answer with it in some other member is not lost: it arrives, or the next ending counts."""
    odd = b'"pad":"' + b"x" * padding + b'","odd":' + value
    async with watch(service, caller) as live:
        accepted, task = await asked(caller, agent)
        await push(agent, task, raw(task, "completed", "response", b'"good",' + odd))
        await agent.complete(task, "instead")
        frame = await live.ending(task["task_id"])
    assert frame["data"]["response"] in ("good", "instead")
    ledger = strict_json((await caller.get(f"/api/chat/tasks/{task['task_id']}")).content)
    assert ledger["result"].get("odd") == frame["data"].get("odd")
    async with watch(service, caller, accepted["position"]) as later:
        assert (await later.caught_up())[-1] == frame


PLAIN: dict[str, object] = {
    "surrogate pair": "🚀",
    "escaped zero": "a\0b",
    "delete": "\x7f",
    "line separators": "a\u2028b\u2029c",
    "minus zero": 0,
    "sparse": [None, None, {}],
    "empty name": {"": 1},
    "empty object": {},
    "empty array": [],
}


@pytest.mark.parametrize(("name", "meaning"), PLAIN.items(), ids=PLAIN.keys())
async def test_what_is_plain_json(
    service: OrchestratorServer, caller: Caller, agent: Agent, name: str, meaning: object
) -> None:
    """Whatever every reader understands arrives as it is."""
    async with watch(service, caller) as live:
        _, task = await asked(caller, agent)
        await push(agent, task, raw(task, "progress", "odd", ODD_VALUES[name]))
        if isinstance(meaning, str):
            await push(agent, task, raw(task, "streaming", "delta", ODD_VALUES[name]))
        await push(agent, task, raw(task, "completed", "response", ODD_VALUES[name]))
        frame = await live.ending(task["task_id"])
    assert frame["data"]["response"] == meaning
    (detail,) = [f["data"]["detail"] for f in live.events if "detail" in f["data"]]
    assert detail == {"odd": meaning}
    assert "".join(map(delta, live.events)) == (meaning if isinstance(meaning, str) else "")


@odd_values
async def test_in_a_detail(service: OrchestratorServer, caller: Caller, agent: Agent, value: bytes) -> None:
    """A progress report with it: the same live and on resume, or none at all; the task goes on."""
    async with watch(service, caller) as live:
        accepted, task = await asked(caller, agent)
        await push(agent, task, raw(task, "progress", "odd", value))
        await agent.complete(task, "done")
        frame = await live.ending(task["task_id"])
    assert frame["data"]["response"] == "done"
    async with watch(service, caller, accepted["position"]) as later:
        assert await later.caught_up() == live.events


@odd_values
async def test_in_a_piece(service: OrchestratorServer, caller: Caller, agent: Agent, value: bytes) -> None:
    """A chunk with it: what streamed is what the joined answer says, live, on resume, and in the ledger."""
    async with watch(service, caller) as live:
        accepted, task = await asked(caller, agent)
        await push(agent, task, raw(task, "streaming", "delta", b'"<"'))
        await push(agent, task, raw(task, "streaming", "delta", value))
        await push(agent, task, raw(task, "streaming", "delta", b'">"'))
        while not delta(live.frames[-1]).endswith(">"):
            await live.event()
        async with watch(service, caller, accepted["position"]) as middle:
            await middle.caught_up()
        await agent.report(task, "completed", result={})
        frame = await live.ending(task["task_id"])
    shown = "".join(map(delta, live.events))
    assert "".join(map(delta, middle.events)) == frame["data"]["response"] == shown
    assert (await ended(caller, task["task_id"]))["result"]["response"] == shown


def delta(frame: Frame) -> str:
    """The text of a chunk; of any other frame, none."""
    return frame["data"]["delta"] if frame["type"] == "agent_chunk" else ""


@pytest.mark.parametrize(
    "text",
    [
        b'\xef\xbb\xbf{"task_id":"%s","status":"completed"}',
        b' \r\n\t{"task_id":"%s","status":"completed"}\n ',
        b'{"task_id":"%s","status":"completed"} trailing',
        b'{"task_id":"%s","status":"completed"}{}',
        b'{"task_id":"%s","status":"failed","status":"completed"}',
        b'{"task_id":"%s","status":"completed","result":{"response":"a"},"result":{"response":"b"}}',
        b'{"task_id":"%s","status":"completed","execution_time":NaN,"tokens_used":1e999}',
        b'{"task_id":"%s","status":"completed","execution_time":"\\ud800","tokens_used":{"\xff":1}}',
        b'{"task_id":"%s","status":"compl\\u0065ted","r\\u0065sult":{"r\\u0065sponse":"x"}}',
        b'{"task_id":"%s","status":"completed","pad":"\xff"}',
        b'{"task_id":"%s","status":"completed","result":{"sources":NaN,"agent_info":"\\udc00"}}',
        b'{"task_id":"%s","status":"failed","result":{"error":"\\ud800"}}',
        b'{"task_id":"%s","status":"failed","result":{"error":{"message":"\xff","code":"\xff"}}}',
        b'{"task_id":"%s","status":"failed","result":{"error":{"message":NaN,"code":1e999}}}',
    ],
)
async def test_around_the_result(
    service: OrchestratorServer, caller: Caller, agent: Agent, text: bytes
) -> None:
    """Oddities anywhere else in an ending: the same frame live and on resume, and a ledger that agrees."""
    async with watch(service, caller) as live:
        accepted, task = await asked(caller, agent)
        await push(agent, task, text.replace(b"%s", task["task_id"].encode()))
        await agent.complete(task, "instead")
        frame = await live.ending(task["task_id"])
    async with watch(service, caller, accepted["position"]) as later:
        assert (await later.caught_up())[-1] == frame
    ledger = strict_json((await caller.get(f"/api/chat/tasks/{task['task_id']}")).content)
    assert ledger["status"] == frame["data"]["status"]
    if frame["type"] == "agent_response":
        assert ledger["result"]["response"] == frame["data"]["response"]
        assert ledger["execution_time"] == frame["data"]["execution_time"]
        assert ledger["tokens_used"] == frame["data"]["tokens_used"]
    else:
        assert ledger["error"]["message"] == frame["data"]["message"]
        assert ledger["code"] == frame["data"]["code"]
