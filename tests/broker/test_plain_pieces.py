"""A piece of text that is spelled as most agents spell it is read without cjson, with the same outcome."""

from collections.abc import Iterator
from typing import Any, Final

from tests.broker.tenant import Tenant, counted
from tests.packed import text_of

PLAIN: Final = b'{"task_id":"%b","status":"streaming","seq":%b,"result":{"delta":"%b"}}'
SPACED: Final = b'{"task_id": "%b", "status": "streaming", "seq": %b, "result": {"delta": "%b"}}'
FULL: Final = (
    b'{"action_type":"execution.callback","task_id":"%b","status":"streaming","attempt":%b,"seq":%b,'
    b'"result":{"delta":"%b"}}'
)
NUMBERS: Final = (
    *(b"0", b"7", b"00", b"01", b"-1", b"1.0", b"1e2", b"", b"null", b'"1"', b"0x10", b"1 ", b"4294967296"),
    *(b"123456789012345", b"9007199254740991", b"9007199254740992", b"99999999999999999999"),
)
ATTEMPTS: Final = (b"1", b"0", b"2", b"01", b"1.0", b"99999999999999999999", b"null", b"")
DELTAS: Final = (
    *(b"", b"word ", "wörld €".encode(), b"x" * 100, b"x" * 260, b"%d", b"}}", b'"}}', b'"},"seq":9}', b'"'),
    *(
        rb"a\nb",
        rb"\u00e9\ud83d\ude00",
        rb"\ud800",
        rb"\x",
        rb"\"",
        b"\\",
        b"\x00",
        b"a\x00b",
        b"\n\t\x7f",
        b"\r",
    ),
    *(b"\xff\xfe", b"\xa9 tail", b"\x80" * 3, b"\xc3"),
)
IDS: Final = (
    *(
        b"TASK",
        b"task-unknown",
        b"task-",
        b"TASK ",
        b"task-" + b"x" * 124,
        rb"task\u002dx",
        b"task-\xc3\xa9",
        b"",
    ),
)


def pieces() -> Iterator[bytes]:
    """One thing at a time is odd."""
    for shape in (PLAIN, SPACED):
        yield from (shape % (b"TASK", seq, b"word ") for seq in NUMBERS)
        yield from (shape % (b"TASK", b"3", delta) for delta in DELTAS)
        yield from (shape % (task, b"3", b"word ") for task in IDS)
    yield from (FULL % (b"TASK", attempt, b"3", b"word ") for attempt in ATTEMPTS)
    yield from (FULL % (b"TASK", b"1", seq, b"word ") for seq in NUMBERS)
    yield from (FULL % (b"TASK", b"1", b"3", delta) for delta in DELTAS)
    yield from (FULL % (task, b"1", b"3", b"word ") for task in IDS)


async def outcome(tenant: Tenant, raw: bytes, name: str) -> tuple[Any, ...]:
    """What came of a piece, and of one that follows it without a number."""
    task = await tenant.task(task=name, session=name)
    again = b'{"status":"streaming","task_id":"%b","result":{"delta":"on"}}' % task.encode()
    delivered = await tenant.deliver(raw.replace(b"TASK", task.encode()), again)
    frames = await tenant.frames(session=name)
    text = text_of(tenant.client, tenant.key(f"task:{task}"))[0]
    letters = [letter.reason for letter in await tenant.dead()]
    return counted(delivered), delivered.stop, [frame["data"] for frame in frames], text, letters


async def test_as_cjson_reads_it(tenant: Tenant) -> None:
    """A blank behind it is what makes the difference: with it cjson reads the piece."""
    other = tenant.another("globex")
    for number, raw in enumerate(pieces()):
        name = f"task-{number}"
        assert await outcome(tenant, raw, name) == await outcome(other, raw + b" ", name), raw
