"""Logs: every event named once, one line each, for people or as JSON."""

import json
import logging
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from enum import StrEnum
from typing import Any, Final, Literal, Self, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

LogFormat = Literal["text", "json"]

_LEVELS: Final = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
_COLOURS: Final = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "31;1"}

# What people wrote or were answered. It never reaches a line of INFO or above.
_CONTENT: Final = frozenset({"message", "response", "delta", "result", "body"})


class LogEvent(StrEnum):
    """Everything the service logs; a line's `event` is one of these, or comes from a library."""

    SERVICE_STARTED = "service_started"  # listening: host, port, version
    SERVICE_DRAINING = "service_draining"  # not ready any more, finishing what is in hand
    SERVICE_STOPPED = "service_stopped"  # everything is closed
    SETTINGS_WARNING = "settings_warning"  # a variable was ignored: detail
    HEADER_MODE = "header_mode"  # identity comes from headers that nothing proves
    AGENDA_FAILED = "agenda_failed"  # a due look at a tenant failed: error; it stays due
    DELIVERY_DEGRADED = "delivery_degraded"  # the channel probe did not come back: polling meanwhile
    DELIVERY_RECOVERED = "delivery_recovered"  # it does again
    TASK_ACCEPTED = "task_accepted"  # recorded in Redis; it will end exactly once
    PUSH_FAILED = "push_failed"  # recorded, but not on its queue: error; the agenda repeats it
    TURN_TAKEN = "turn_taken"  # a held message goes to its agent: what it waited for has ended
    TURN_FAILED = "turn_failed"  # Redis could not be asked for it; the agenda looks again: error
    LEASE_LOST = "lease_lost"  # a worker is gone with an attempt: worker; the next attempt begins
    TASK_QUEUED = "task_queued"  # pushed to its queue by the agenda, late
    TASK_ANSWERED = "task_answered"  # a person has answered what its agent asked: question
    TASK_ENDED = "task_ended"  # status, seconds
    SEND_REFUSED = "send_refused"  # answered with an error: code
    CALLBACK_FAILED = "callback_failed"  # the script could not take it: error; it is tried again
    PUBLISH_FAILED = "publish_failed"  # events are logged but were not announced: check the ACL
    CALLBACK_DROPPED = "callback_dropped"  # late, older attempt or seen before: reason
    DEAD_LETTER = "dead_letter"  # a callback that cannot be used: reason
    SEQ_GAP = "seq_gap"  # a chunk's number skipped some
    ADMINISTRATION_FAILED = "administration_failed"  # a change or a question by HTTP got 503: error
    SUBJECT_REVOKED = "subject_revoked"  # tokens of a subject are void: its sockets are closed
    TENANT_SHUT_OUT = "tenant_shut_out"  # a tenant may not follow any more: its sockets are closed
    CONNECTIONS_REFUSED = "connections_refused"  # too many of one address that ask nothing: address, count
    WEBSOCKET_OPENED = "websocket_opened"  # connection_id
    WEBSOCKET_CLOSED = "websocket_closed"  # connection_id, code
    REDIS_UNREACHABLE = "redis_unreachable"  # once when it begins, not for every call
    REDIS_REFUSED = (
        "redis_refused"  # it answers, but not to this: error, once for each cause; check ACL and prefix
    )
    REDIS_RECOVERED = "redis_recovered"  # seconds it was away
    DATABASE_UNREACHABLE = "database_unreachable"  # cached answers go on, nobody new gets in
    DATABASE_RECOVERED = "database_recovered"  # it answers again
    ISSUER_UNREACHABLE = "issuer_unreachable"  # the keys of tokens cannot be fetched: error, has_keys
    ISSUER_RECOVERED = "issuer_recovered"  # seconds they could not be
    UNEXPECTED_ERROR = "unexpected_error"  # a bug, or something nobody thought of: the traceback


class Log:
    """Writes events that are declared above; `bind` gives one that adds fields to every line.

    Name `tenant_id`, `session_id` and `task_id` wherever they are known. `exc_info=error` adds
    a traceback outside of the handler, where `exception` cannot.
    """

    def __init__(self, lines: FilteringBoundLogger) -> None:
        self._lines: Final = lines

    def bind(self, **fields: Any) -> Self:
        """A log whose every line carries `fields` too."""
        return type(self)(self._lines.bind(**fields))

    def debug(self, event: LogEvent, **fields: Any) -> None:
        """Write what only the search for a fault needs."""
        self._lines.debug(event, **fields)

    def info(self, event: LogEvent, **fields: Any) -> None:
        """Write what happened as it should."""
        self._lines.info(event, **fields)

    def warning(self, event: LogEvent, **fields: Any) -> None:
        """Write what somebody should look at."""
        self._lines.warning(event, **fields)

    def error(self, event: LogEvent, **fields: Any) -> None:
        """Write what somebody must mend."""
        self._lines.error(event, **fields)

    def exception(self, event: LogEvent, **fields: Any) -> None:
        """Write an error with the traceback of what is being handled."""
        self._lines.exception(event, **fields)


def configure_logging(
    level: str, log_format: LogFormat, domain: str = "orchestrator", stream: TextIO | None = None
) -> Log:
    """The process's log, on stderr unless `stream` is given; libraries write into it as well.

    Libraries are heard from WARNING on: below that, servers and clients log URLs, headers and
    frames, and with them tokens and messages.
    """
    target: TextIO = sys.stderr if stream is None else stream
    renderer = _renderer(log_format, domain, target)
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_steps(), renderer],
        )
    )
    logging.basicConfig(level=max(_LEVELS[level], logging.WARNING), handlers=[handler], force=True)
    filtering = structlog.make_filtering_bound_logger(_LEVELS[level])
    lines = structlog.wrap_logger(_Lines(target), [*_steps(), renderer], wrapper_class=filtering)
    # Bound at once: the proxy that `wrap_logger` returns would do it again for every line.
    return Log(lines.bind())


class _Lines:
    """Where finished lines go; a log that cannot be written never breaks what was logged."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: Final = stream

    def _write(self, line: str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(line + "\n")
            self._stream.flush()

    debug = info = warning = error = _write


def _steps() -> list[Processor]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _without_content,
    ]


def _without_content(_logger: WrappedLogger, level: str, event: EventDict) -> EventDict:
    if level != "debug":
        for name in _CONTENT & event.keys():
            del event[name]
    return event


def _renderer(log_format: LogFormat, domain: str, stream: TextIO) -> Processor:
    if log_format == "json":
        return lambda _logger, _level, event: _json_line(_ordered(event) | {"domain": domain})
    coloured = stream.isatty()
    return lambda _logger, _level, event: _text_line(_ordered(event), coloured=coloured)


def _ordered(event: MutableMapping[str, Any]) -> dict[str, Any]:
    first = {name: event.pop(name, None) for name in ("timestamp", "level", "event")}
    return first | dict(event)


def _json_line(event: dict[str, Any]) -> str:
    try:
        return msgspec.json.encode(event, enc_hook=repr).decode()
    except (TypeError, ValueError, RecursionError):
        # Lone surrogates and odd keys: the slower encoder escapes or skips them.
        return json.dumps(event, default=repr, skipkeys=True)


def _text_line(event: dict[str, Any], *, coloured: bool) -> str:
    """`time level event key=value …`; a traceback follows on lines of its own, indented."""
    moment, level, name = event.pop("timestamp"), str(event.pop("level")), str(event.pop("event"))
    traceback = str(event.pop("exception", ""))
    shown = f"{level:<8}"
    if coloured:
        shown = f"\x1b[{_COLOURS.get(level, '0')}m{shown}\x1b[0m"
    fields = "".join(f" {key}={_quoted(value)}" for key, value in event.items())
    rest = "".join(f"\n    {_printable(line)}" for line in traceback.splitlines())
    return f"{moment} {shown} {_printable(name)}{fields}{rest}"


def _printable(text: str) -> str:
    """`text`, or its escaped form where it would break the line or drive a terminal."""
    return text if text.isprintable() else repr(text)


def _quoted(value: object) -> str:
    text = _printable(str(value))
    return repr(text) if " " in text and text == str(value) else text
