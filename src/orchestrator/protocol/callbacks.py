"""What an agent's callback says, read so that nothing it contains can raise.

The scripts decide with Redis's JSON reader, the browser gets what Python's writes, and the two disagree about invalid
UTF-8, `NaN`, control characters, lone surrogates and more. What Redis let through becomes the same repaired value
here every time: live, on replay and in the ledger.
"""

import json
import math
import re
from typing import Any, Final, cast

import msgspec

from orchestrator.protocol.json_limits import finite
from orchestrator.protocol.tasks import DEFAULT_CODES, DEFAULT_MESSAGES, EndStatus

Members = dict[str, Any]

_decode: Final = msgspec.json.Decoder(float_hook=finite).decode
_encode: Final = msgspec.json.Encoder().encode
_CODE_MAX: Final = 64
_MESSAGE_MAX: Final = 4_000
_DEPTH_MAX: Final = 64
_INT_MAX: Final = 2**63
_DIGITS_MAX: Final = 4_000  # Python reads no longer integers
# A string that does not end is one token, too: to look for its end again from each quote in it would take hours.
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.?)*+"?|[^\s,:\[\]{}"]++', re.DOTALL)
_NUMBER: Final = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?\Z").match


def read_callback(raw: bytes, *, repair: bool = True) -> Members:
    """The members of a callback; what cannot be said in strict JSON is repaired, what cannot be read is {}."""
    value: Any = {}
    try:
        value = _decode(raw)
        _encode(value)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        value = _repaired(raw) if repair else {}
    return cast("Members", value) if isinstance(value, dict) else {}


def _repaired(raw: bytes) -> Any:
    text = _TOKEN.sub(_strict, raw.decode("utf-8", "replace"))
    try:
        loose = json.loads(text, strict=False, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return {}
    return _plain(loose, _DEPTH_MAX)


def _strict(token: re.Match[str]) -> str:
    """A token as JSON spells it: Redis takes whatever C's `strtod` takes for a number, like `01`, `+1` or `inf`."""
    word = token[0]
    if word[0] == '"' or word in {"true", "false", "null"} or (len(word) < _DIGITS_MAX and _NUMBER(word)):
        return word
    try:
        number = float(int(word, 16)) if "x" in word.lower() else float(word)
    except (ValueError, OverflowError):
        return "null"
    if not math.isfinite(number):
        return "null"
    return str(int(number)) if number.is_integer() else repr(number)


def _plain(value: Any, depth: int) -> Any:
    """`value` with only what JSON can say; deeper than any answer needs is cut off."""
    if depth == 0:
        return None
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return {_plain(name, 1): _plain(member, depth - 1) for name, member in members.items()}
    if isinstance(value, list):
        return [_plain(item, depth - 1) for item in cast("list[Any]", value)]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _INT_MAX:
        return float(value) if value.bit_length() < 1_000 else None
    return value


def result_of(callback: Members) -> Members:
    """The `result` member, {} where there is none."""
    result = callback.get("result")
    return cast("Members", result) if isinstance(result, dict) else {}


def answer(callback: Members, text: str) -> Members:
    """The data of an `agent_response`; `text` is the joined chunks, used where `result.response` is missing."""
    result = result_of(callback)
    response = result.get("response")
    if response is None:
        response = text or None
    return {
        **result,
        "response": response,
        "sources": result.get("sources", []),
        "agent_info": result.get("agent_info", {}),
        "status": "completed",
        "execution_time": callback.get("execution_time"),
        "tokens_used": callback.get("tokens_used"),
    }


def failure(callback: Members, status: EndStatus, code: str) -> Members:
    """The data of an `error` that ends a task; `code` is the service's own, '' where the agent ended it."""
    if code:
        told = {"status": status, "code": code, "message": DEFAULT_MESSAGES.get(code, "The task ended.")}
        # The service's own, where its code is: an agent's callback with one is never an ending of this code.
        return {**told, "into": callback.get("into")} if code == "merged" else told
    given = result_of(callback).get("error")
    error = cast("Members", given) if isinstance(given, dict) else {"message": given}
    own = error.get("code")
    code = (
        own
        if isinstance(own, str) and 0 < len(own) <= _CODE_MAX
        else DEFAULT_CODES.get(status, "agent_failed")
    )
    message = error.get("message")
    if not isinstance(message, str) or not message:
        message = DEFAULT_MESSAGES.get(code, DEFAULT_MESSAGES["agent_failed"])
    return {"status": status, "code": code, "message": message[:_MESSAGE_MAX]}


def clean_text(text: bytes) -> str:
    """Text from a chunk; bytes that are no UTF-8 are shown as such."""
    return text.decode("utf-8", "replace")
