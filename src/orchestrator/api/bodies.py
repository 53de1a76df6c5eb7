"""Reading a request's body within its limits of size and time."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from orchestrator.errors import Problem
from orchestrator.protocol.json_limits import DEPTH_MAX, finite, is_deeper
from orchestrator.protocol.questions import AnswerBody
from orchestrator.protocol.send_body import SendBody

BODY_MAX: Final = 256 * 1024
BODY_SECONDS: Final = 4.0
"""A send is answered within 5 s, also one whose body never comes."""

WHOLE_BODY: Final = "orchestrator.body"
"""Where the scope of a request that came whole has its body, until it is read; it is shorter than `BODY_MAX`."""

_JSON: Final = "application/json"

BodyT = TypeVar("BodyT")
Decode = Callable[[bytes], BodyT]

_send_body: Final[Decode[SendBody]] = msgspec.json.Decoder(SendBody, float_hook=finite).decode
_answer_body: Final[Decode[AnswerBody]] = msgspec.json.Decoder(AnswerBody, float_hook=finite).decode


async def send_body(request: Request) -> SendBody:
    """The body of a send; raises the `Problem` that says what is wrong."""
    return await json_body(request, _send_body)


async def answer_body(request: Request) -> AnswerBody:
    """The body of an answer; raises the `Problem` that says what is wrong."""
    return await json_body(request, _answer_body)


async def json_body(request: Request, decode: Decode[BodyT]) -> BodyT:
    """A body of JSON that has to be there; raises the `Problem` that says what is wrong."""
    kind = request.headers.get("content-type", "")
    if kind != _JSON and kind.partition(";")[0].strip().lower() != _JSON:
        raise Problem("unsupported_media_type", "send Content-Type: application/json")
    return parsed(await _read(request), decode)


async def optional_body(request: Request, decode: Decode[BodyT]) -> BodyT | None:
    """A body of JSON, or None for an empty one."""
    raw = await _read(request)
    return parsed(raw, decode) if raw.strip() else None


def parse_send(raw: bytes) -> SendBody:
    """A send's body from the JSON of a frame; raises `invalid_body` that says where and what."""
    return parsed(raw, _send_body)


def parse_answer(raw: bytes) -> AnswerBody:
    """The same of an answer."""
    return parsed(raw, _answer_body)


def parsed(raw: bytes, decode: Decode[BodyT]) -> BodyT:
    """A body from JSON; raises `invalid_body` that says where and what."""
    if is_deeper(raw, DEPTH_MAX):
        raise Problem("invalid_body", f"nested deeper than {DEPTH_MAX} levels")
    try:
        return decode(raw)
    except msgspec.ValidationError as error:
        raise Problem("invalid_body", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem("invalid_body", f"the body is not JSON: {error}") from None


async def _read(request: Request) -> bytes:
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem("unsupported_media_type", "send the body without a Content-Encoding")
    whole: bytes | None = request.scope.pop(WHOLE_BODY, None)
    if whole is not None:
        return whole
    length: Any = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > BODY_MAX:
        raise Problem("payload_too_large", f"a body may have at most {BODY_MAX} bytes")
    return await _received(request)


async def _received(request: Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_MAX:
                    raise Problem("payload_too_large", f"a body may have at most {BODY_MAX} bytes")
    except TimeoutError:
        raise Problem("request_timeout", f"the body did not come within {BODY_SECONDS:g} seconds") from None
    except ClientDisconnect:
        raise Problem("request_timeout", "the connection ended before the body did") from None
    return bytes(body)
