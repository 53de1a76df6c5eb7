"""A session's log as events in order, from its scripts' pages."""

import msgspec

from orchestrator.broker.logs import Logs, Opened
from orchestrator.protocol.events import Event, SessionName, read_event
from orchestrator.protocol.position import Position
from orchestrator.protocol.tiers import Tier


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

    async def open(
        self, tenant: str, session: str, *, user: str, tier: Tier, validate: bool, resume: Position | str
    ) -> tuple[Opened, list[Event]]:
        """Begin to read; the events of the first page after the reader's position."""
        opened, entries = await self._logs.open(
            tenant, session, user=user, tier=tier, validate=validate, resume=resume
        )
        name = SessionName(tenant, session, opened.epoch)
        return opened, _events(name, opened.offsets, entries)

    async def read(self, name: SessionName, seen: int) -> Read | None:
        """The events after the offset `seen`, a page of them; None when the log cannot be read on from there."""
        page, entries = await self._logs.read(name.tenant, name.session, name.epoch, seen)
        if page.outcome == "gone":
            return None
        events = _events(name, page.offsets, entries)
        return Read(events, page.reached, int(page.mark), page.top)


def _events(name: SessionName, offsets: list[int], entries: list[bytes]) -> list[Event]:
    return [read_event(name, offset, entry) for offset, entry in zip(offsets, entries, strict=True)]
