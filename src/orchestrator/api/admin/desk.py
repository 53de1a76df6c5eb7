"""Between a request and the administration: who asks, and what becomes of it when it cannot be done."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from starlette.requests import Request

from orchestrator.admission.administration import Administration, TasksLeftOpen, Unfinished
from orchestrator.auth.claims import Claims
from orchestrator.errors import Problem
from orchestrator.store.errors import AlreadyExists, NotFound, StoreUnavailable
from orchestrator.telemetry import Log, LogEvent

AnswerT = TypeVar("AnswerT")

RETRY_SECONDS: Final = 2
_OFF: Final = (
    "access is not validated here (ORCHESTRATOR_ENABLE_ACCESS_VALIDATION=false): no records are kept"
)
_AWAY: Final = "the database does not answer; whether a change was made shows when it does"
_UNTOLD: Final = (
    "the change is stored, but not every replica could be told of it: they follow later,"
    " or at once when it is made again"
)


def actor_of(request: Request) -> str:
    """Who stands in the audit for what this request changes: the user of its token, told from one at the console."""
    claims: Claims = request.state.claims
    return f"token:{claims.user}"


class Desk:
    """Asks the administration, and answers its refusals as problems."""

    def __init__(self, administration: Administration | None, log: Log) -> None:
        self._administration = administration
        self._log = log

    async def ask(self, work: Callable[[Administration], Awaitable[AnswerT]]) -> AnswerT:
        """What `work` returned; raises `unavailable`, `not_found` and `already_exists`."""
        if self._administration is None:
            raise Problem("not_found", _OFF)
        try:
            return await work(self._administration)
        except NotFound as error:
            raise Problem("not_found", str(error)) from None
        except AlreadyExists as error:
            raise Problem("already_exists", str(error)) from None
        except StoreUnavailable as error:
            # Its own words name the database's host.
            raise self._failed(error, _AWAY) from error
        except TasksLeftOpen as error:
            raise self._failed(error, str(error)) from error
        except Unfinished as error:
            raise self._failed(error, _UNTOLD) from error

    def _failed(self, error: Exception, told: str) -> Problem:
        self._log.warning(LogEvent.ADMINISTRATION_FAILED, error=str(error))
        return Problem("unavailable", told, retry_after=RETRY_SECONDS)
