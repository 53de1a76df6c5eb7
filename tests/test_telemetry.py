"""Logs: one event a line, readable or JSON, and never what people wrote."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from orchestrator.telemetry import Log, LogEvent, configure_logging


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """As a terminal does."""
        return True


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """Gives the process's own logging back after the test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def json_lines(stream: io.StringIO) -> list[dict[str, object]]:
    """What was written, a dictionary a line."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def failing(log: Log) -> None:
    """Logs an error with a traceback of several lines."""
    try:
        raise RuntimeError("two\nlines")
    except RuntimeError:
        log.exception(LogEvent.UNEXPECTED_ERROR)


def test_json_is_one_object_a_line() -> None:
    """In JSON every line is an object with time, level, event, domain and the fields given."""
    stream = io.StringIO()
    log = configure_logging("INFO", "json", "eu-1", stream)

    log.bind(tenant_id="t", session_id="s").info(LogEvent.TASK_ENDED, task_id="task-1", status="completed")
    failing(log)

    ended, failed = json_lines(stream)
    assert str(ended.pop("timestamp")).endswith("Z")
    assert ended == {
        "level": "info",
        "event": "task_ended",
        "tenant_id": "t",
        "session_id": "s",
        "task_id": "task-1",
        "status": "completed",
        "domain": "eu-1",
    }
    assert "RuntimeError" in str(failed["exception"])


def test_text_is_for_people() -> None:
    """In text a line is time, level, event and `key=value`; a traceback follows, indented."""
    stream = io.StringIO()
    log = configure_logging("INFO", "text", stream=stream)

    log.info(LogEvent.SETTINGS_WARNING, detail="two words", task_id="task-1")
    failing(log)

    first, second, *traceback = stream.getvalue().splitlines()
    assert first.endswith("info     settings_warning detail='two words' task_id=task-1")
    assert second.endswith("error    unexpected_error")
    assert traceback
    assert all(line.startswith("    ") for line in traceback)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_value_cannot_forge_a_line(log_format: str) -> None:
    """Line breaks, escapes and half characters in a value stay inside the line."""
    stream = io.StringIO()
    log = configure_logging("INFO", "json" if log_format == "json" else "text", stream=stream)

    log.info(LogEvent.DEAD_LETTER, reason="a\n2026 error forged\x1b[2J\udcff")
    log.info(LogEvent.DEAD_LETTER, reason="a\nforged\x1b[2J")

    assert len(stream.getvalue().splitlines()) == 2
    assert "\x1b" not in stream.getvalue()


def test_only_a_terminal_gets_colours() -> None:
    """Colours are for eyes: a file or a pipe gets plain text."""
    file, terminal = io.StringIO(), Terminal()
    for stream in (file, terminal):
        configure_logging("INFO", "text", stream=stream).warning(LogEvent.HEADER_MODE)

    assert "\x1b[33m" in terminal.getvalue()
    assert "\x1b" not in file.getvalue()


def test_what_people_wrote_stays_out() -> None:
    """Contents are dropped from INFO on, and seen only by whoever asks for DEBUG."""
    stream = io.StringIO()
    log = configure_logging("DEBUG", "json", stream=stream)

    for write in (log.debug, log.info, log.warning, log.error):
        write(LogEvent.TASK_ACCEPTED, message="a secret thought", task_id="task-1")

    assert [line.get("message") for line in json_lines(stream)] == ["a secret thought", None, None, None]


def test_a_level_silences_what_is_below() -> None:
    """A line below the level is not written."""
    stream = io.StringIO()
    log = configure_logging("WARNING", "json", stream=stream)

    log.info(LogEvent.TASK_ACCEPTED)
    log.warning(LogEvent.REDIS_UNREACHABLE)

    assert [line["event"] for line in json_lines(stream)] == ["redis_unreachable"]


def test_libraries_write_the_same_lines() -> None:
    """What libraries log has the same form, from WARNING on: below, they would log URLs and headers."""
    stream = io.StringIO()
    configure_logging("DEBUG", "json", stream=stream)

    logging.getLogger("uvicorn.error").info("GET /ws/s?ticket=hunter2")
    logging.getLogger("uvicorn.error").warning("odd %s", "request")

    (line,) = json_lines(stream)
    assert (line["event"], line["logger"], line["level"]) == ("odd request", "uvicorn.error", "warning")


def test_values_of_any_kind_are_written() -> None:
    """A value that JSON has no form for is written as text; no line is lost over it."""
    stream = io.StringIO()
    log = configure_logging("INFO", "json", stream=stream)

    log.info(LogEvent.SERVICE_STARTED, odd=object, host="\udcff")

    assert [line["event"] for line in json_lines(stream)] == ["service_started"]


def test_a_log_that_cannot_be_written_breaks_nothing() -> None:
    """When the reader of the log is gone, the service goes on."""
    stream = io.StringIO()
    log = configure_logging("INFO", "text", stream=stream)
    stream.close()

    log.info(LogEvent.SERVICE_STOPPED)

    assert stream.closed
