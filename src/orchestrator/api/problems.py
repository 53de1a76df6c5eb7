"""Answers: JSON, and errors as `application/problem+json` (RFC 9457)."""

import math
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

from orchestrator.errors import Code, Problem
from orchestrator.metrics import Counter, Metrics

_encode: Final = msgspec.json.Encoder().encode


@lru_cache(64)
def _lower(name: str) -> bytes:
    return name.lower().encode()


class JsonResponse(Response):
    """A JSON body, encoded by msgspec."""

    def __init__(
        self,
        content: Any,
        status_code: int = 200,
        headers: Mapping[str, str] = MappingProxyType({}),
        media_type: bytes = b"application/json",
    ) -> None:
        # The original's `__init__` takes as long as the JSON.
        self.status_code = status_code
        self.background = None
        self.body = _encode(content)
        self.raw_headers = [(_lower(name), value.encode("latin-1")) for name, value in headers.items()]
        self.raw_headers += (b"content-length", b"%d" % len(self.body)), (b"content-type", media_type)


def problem_response(problem: Problem) -> Response:
    """A refusal as its caller sees it; never with internals."""
    headers = dict(problem.headers)
    body: dict[str, Any] = {
        "type": f"urn:orchestrator:error:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail or problem.title,
        "code": problem.code,
        **problem.members,
    }
    if problem.retry_after is not None:
        seconds = max(1, math.ceil(problem.retry_after))
        body["retry_after"] = seconds
        headers["Retry-After"] = str(seconds)
    if problem.status == 401:
        headers.setdefault("WWW-Authenticate", 'Bearer realm="orchestrator"')
    return JsonResponse(body, problem.status, headers, media_type=b"application/problem+json")


def count_credential(problem: Problem, metrics: Metrics) -> None:
    """Count a refusal of what somebody proves of themselves; others are counted elsewhere."""
    if problem.reason:
        metrics.count(Counter.CREDENTIALS_REFUSED, problem.reason)


def refused(refusal: HTTPException) -> Response:
    """What the router or the file server refuses by a number, as a problem."""
    response = problem_response(problem_of_status(refusal.status_code))
    response.headers.update(refusal.headers or {})
    return response


_OTHERWISE: Final[Code] = "not_found"
_OF_STATUS: Final[Mapping[int, Code]] = {
    404: "not_found",
    405: "method_not_allowed",
    413: "payload_too_large",
}


def problem_of_status(status: int) -> Problem:
    """What the router says by a number, as a problem of ours."""
    if status >= 500:
        return Problem("internal")
    return Problem(_OF_STATUS.get(status, _OTHERWISE))
