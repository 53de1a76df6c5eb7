"""A session's log as events in order, from its scripts' pages."""

import msgspec

from orchestrator.broker.logs import Logs, Opened, OpenRequest
from orchestrator.protocol.events import Event, SessionName, read_event


class Read(msgspec.Struct, frozen=True):
    """A page: its events, the offset and mark up to which it was read, and where the log ended then."""

    events: list[Event]
    reached: int
    mark: int
    top: int


class SessionLog:
    """Reads logs of sessions."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs

    async def open(self, tenant: str, request: OpenRequest) -> tuple[Opened, list[Event]]:
        """Begin to read; the events of the first page after the reader's position."""
        opened, entries = await self._logs.open(tenant, request)
        name = SessionName(tenant, request.session, opened.epoch)
        return opened, _events(name, opened.offsets, entries)

    async def read(self, name: SessionName, seen: int, mark: int | None = None) -> Read | None:
        """The events after the offset `seen`, a page of them; None when the log cannot be read on from there.

        With `mark`, also when the entry at `seen` is another one: the server lost what the reader has seen.
        """
        page, entries = await self._logs.read(name.tenant, name.session, name.epoch, seen, mark)
        if page.outcome == "gone":
            return None
        events = _events(name, page.offsets, entries)
        return Read(events, page.reached, int(page.mark), page.top)


def _events(name: SessionName, offsets: list[int], entries: list[bytes]) -> list[Event]:
    return [read_event(name, offset, entry) for offset, entry in zip(offsets, entries, strict=True)]
