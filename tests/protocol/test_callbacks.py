"""Callbacks that JSON readers disagree about: one row a kind, and nothing raises (DESIGN §2)."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.protocol.callbacks import answer, clean_text, failure, read_callback, result_of
from orchestrator.protocol.tasks import ENDINGS, EndStatus

# What stands for `result.response` in a callback, and what becomes of it.
ODD: dict[str, tuple[bytes, Any]] = {
    "plain": (b'"text"', "text"),
    "invalid UTF-8": (b'"a\xffb"', "a\ufffdb"),
    "cut UTF-8": (b'"a\xe2\x82"', "a\ufffd"),
    "overlong UTF-8": (b'"\xc0\xaf"', "\ufffd\ufffd"),
    "UTF-8 of a surrogate": (b'"\xed\xa0\x80"', "\ufffd\ufffd\ufffd"),
    "lone high surrogate": (b'"\\ud800"', "?"),
    "lone low surrogate": (b'"a\\udc00b"', "a?b"),
    "surrogates reversed": (b'"\\udc00\\ud800"', "??"),
    "surrogate pair": (b'"\\ud83d\\ude80"', "\U0001f680"),
    "escaped zero": (b'"a\\u0000b"', "a\x00b"),
    "raw newline": (b'"a\nb"', "a\nb"),
    "raw tab": (b'"a\tb"', "a\tb"),
    "raw control": (b'"a\x01b"', "a\x01b"),
    "line separator": ('"a\u2028b"'.encode(), "a\u2028b"),
    "NaN": (b"NaN", None),
    "Infinity": (b"Infinity", None),
    "-Infinity": (b"-Infinity", None),
    "integer of 64 bits": (b"9223372036854775807", 9223372036854775807),
    "integer of 400 digits": (b"1" * 400, int("1" * 400)),
    "fraction": (b"0.1", 0.1),
    "minus zero": (b"-0", 0),
    "duplicate members": (b'{"a":1,"a":2}', {"a": 2}),
    "empty name": (b'{"":1}', {"": 1}),
    "surrogate in a name": (b'{"\\ud800":1}', {"?": 1}),
    "sixty levels": (b"[" * 60 + b"]" * 60, json.loads("[" * 60 + "]" * 60)),
}


@pytest.mark.parametrize(("written", "read"), ODD.values(), ids=ODD.keys())
def test_odd_value(written: bytes, read: Any) -> None:
    """What Redis let through becomes a value that strict JSON can say, and the rest of the callback is kept."""
    callback = read_callback(
        b'{"task_id":"task-1","status":"completed","result":{"response":' + written + b',"n":1}}'
    )
    assert callback["task_id"] == "task-1"
    assert result_of(callback) == {"response": read, "n": 1}
    assert msgspec.json.decode(msgspec.json.encode(callback)) == callback


NUMBERS_OF_REDIS: dict[bytes, Any] = {
    b"01": 1, b"+1": 1, b".5": 0.5, b"1.": 1, b"0x10": 16, b"nan": None, b"inf": None, b"-Infinity": None,
    b"1e999": None, b"0" * 5_000 + b"7": 7, b"9" * 5_000: None,
}  # fmt: skip


@pytest.mark.parametrize(("written", "read"), NUMBERS_OF_REDIS.items())
def test_number_that_only_redis_takes(written: bytes, read: Any) -> None:
    """Its reader takes whatever C takes for a number: it is spelled as JSON has it, or null."""
    callback = read_callback(b'{"task_id":"task-1","result":{"response":' + written + b"}}")
    shown = msgspec.json.decode(msgspec.json.encode(callback))
    assert shown == {"task_id": "task-1", "result": {"response": read}}


@pytest.mark.parametrize("written", [b"", b"[1,]", b"[", b'"text'])
def test_unreadable_value(written: bytes) -> None:
    """What no reader takes is a callback that says nothing."""
    assert read_callback(b'{"task_id":"task-1","result":{"response":' + written + b"}}") == {}


@pytest.mark.parametrize(
    "part", [b'\\"', b'"', b'"x",', b"\\", b"[", b"{", b'{"a":', b"1", b"0x", b"\xff", b'"\\u']
)
def test_hostile_text_is_read_to_its_end(part: bytes) -> None:
    """The reader's work grows with the length: were it with its square, this would not end within a test's limit."""
    assert read_callback(b'{"a":"' + part * (2**20 // len(part))) in ({}, {"a": None})
    assert read_callback(b'{"a":0' + part * (2**20 // len(part))) == {}


def test_too_deep() -> None:
    """Deeper than any answer needs is cut off rather than refused, and ends in null."""
    for levels in (70, 990, 100_000):
        callback = read_callback(b'{"task_id":"task-1","x":' + b"[" * levels + b"]" * levels + b"}")
        assert callback in ({}, callback)
        msgspec.json.encode(callback)


@pytest.mark.parametrize("raw", [b"", b"null", b"[]", b'"a"', b"1", b"\xff", b"{", b"\x00"])
def test_no_object(raw: bytes) -> None:
    """What is no object has no members."""
    assert read_callback(raw) == {}


@given(st.binary(max_size=200))
def test_any_bytes(raw: bytes) -> None:
    """Whatever an agent sends is read without an error, into something that can be written."""
    msgspec.json.encode(read_callback(raw))


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters()), inner, max_size=4),
    max_leaves=20,
)


@given(
    st.dictionaries(st.sampled_from(["result", "status", "execution_time", "x"]), json_like),
    st.integers(0, 400),
)
def test_any_lenient_json(told: dict[str, Any], spoiled: int) -> None:
    """The same for everything that a lenient writer can write, with a byte spoiled somewhere."""
    raw = bytearray(json.dumps(told, ensure_ascii=spoiled % 2 == 0).encode("utf-8", "surrogatepass"))
    for body in (
        bytes(raw),
        bytes(raw[: spoiled % (len(raw) + 1)]) + b"\xed" + bytes(raw[spoiled % len(raw) :]),
    ):
        callback = read_callback(body)
        for status in ENDINGS:
            msgspec.json.encode(answer(callback, "text"))
            msgspec.json.encode(failure(callback, status, ""))


def test_answer() -> None:
    """The result's own members are kept, except a status; without a response the joined chunks, else null."""
    told = {
        "result": {"response": "r", "extra": 1, "status": "failed"},
        "execution_time": 1.5,
        "tokens_used": {"total": 2},
    }
    assert answer(told, "chunks") == {
        "response": "r", "extra": 1, "status": "completed", "sources": [], "agent_info": {},
        "execution_time": 1.5, "tokens_used": {"total": 2},
    }  # fmt: skip
    assert answer({"result": {}}, "chunks")["response"] == "chunks"
    assert answer({}, "")["response"] is None
    assert answer({"result": {"response": ""}}, "chunks")["response"] == ""


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        ({"type": "T", "message": "m", "code": "own"}, "own", "m"),
        ({"message": "m"}, "agent_failed", "m"),
        ("just a string", "agent_failed", "just a string"),
        (None, "agent_failed", "The agent could not answer."),
        (["m"], "agent_failed", "The agent could not answer."),
        ({"message": 5, "code": 5}, "agent_failed", "The agent could not answer."),
        ({"message": "", "code": ""}, "agent_failed", "The agent could not answer."),
        ({"message": "m", "code": "c" * 65}, "agent_failed", "m"),
        ({"message": "m" * 5_000}, "agent_failed", "m" * 4_000),
    ],
)
def test_failure(error: Any, code: str, message: str) -> None:
    """The agent's own code and sentence, where they are ones; else what the contract says of such an ending."""
    assert failure({"result": {"error": error}}, "failed", "") == {
        "status": "failed",
        "code": code,
        "message": message,
    }


@pytest.mark.parametrize(
    ("status", "given_code", "code"),
    [
        ("timeout", "", "deadline"),
        ("cancelled", "", "cancelled"),
        ("failed", "result_too_large", "result_too_large"),
    ],
)
def test_failure_of_another_kind(status: EndStatus, given_code: str, code: str) -> None:
    """Each ending has its code; one that the service made tells its own."""
    told = failure({"result": {"error": {"message": "m"}}} if not given_code else {}, status, given_code)
    assert (told["status"], told["code"]) == (status, code)
    assert told["message"]


@given(st.binary(max_size=50))
def test_text_of_chunks(text: bytes) -> None:
    """Any bytes are text."""
    clean_text(text).encode()
