"""Scripts and commands at the server of a key, with refusals told apart from what passes."""

from collections.abc import Awaitable
from contextlib import suppress
from typing import Final

from orchestrator.broker.connection import Argument, BrokerError, Refused, Reply, ReplyLost, Unavailable, Wire
from orchestrator.broker.libraries import PREFIX, Library, libraries, library_of
from orchestrator.broker.topology import Topology

# Errors that say how the server is, not what the call was: it may be made again later.
PASSING: Final = frozenset(
    {"OOM", "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MISCONF", "NOREPLICAS", "BUSY"}
)
LIST: Final = ("FUNCTION", "LIST", "LIBRARYNAME", f"{PREFIX}*")
_LEFT_TO_THE_SERVICE: Final = (
    "the functions of this version are not on the server, and this user may not load them: "
    "the service loads them when it starts, if it has the same version"
)


class Scripts:
    """Runs scripts, each a function of a library; a server that does not know it is given the library first."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology

    async def command(self, key: str, *args: Argument) -> Reply:
        """Run one command at the server of `key`.

        Raises: `Unavailable` (nothing happened), `ReplyLost` (it may have), `Refused`.
        """
        try:
            return await self._topology.call(key, *args)
        except Refused as refused:
            raise _passing(refused) from None

    async def run(self, script: str, keys: str | list[str], *args: Argument) -> Reply:
        """Run a script with `keys` (all of one slot). Raises as `command` does."""
        if isinstance(keys, str):
            keys = [keys]
        library = library_of(script)
        calling = ("FCALL", library.scripts[script], len(keys), *keys, *args)
        try:
            return await self.command(keys[0], *calling)
        except Refused as refused:
            if not refused.unknown_function:
                raise
        await self._load(keys[0], library)
        return await self.command(keys[0], *calling)

    async def load_all(self) -> None:
        """Give every server that is reached the libraries that it has not, for whoever may not load them himself.

        What that makes outdated is deleted: a process that still runs it loads it again, once. Where it is
        needed none is deleted, or two versions would take turns.
        """
        for wire in await self._topology.wires():
            with suppress(Unavailable, ReplyLost):  # what it lacks it is given when that is called
                await _provide(wire)

    async def _load(self, key: str, library: Library) -> None:
        try:
            await _unless_done(self.command(key, "FUNCTION", "LOAD", library.text))
        except Refused as refused:
            if refused.kind == "NOPERM":
                raise Refused(f"{refused}; {_LEFT_TO_THE_SERVICE}") from None
            raise


async def _provide(wire: Wire) -> None:
    try:
        there = names_of(await wire.call(*LIST))
        for library in libraries().values():
            if library.name not in there:
                for outdated in filter(library.supersedes, there):
                    await _unless_done(wire.call("FUNCTION", "DELETE", outdated))
                await _unless_done(wire.call("FUNCTION", "LOAD", library.text))
    except Refused as refused:
        raise _passing(refused) from None


async def _unless_done(call: Awaitable[Reply]) -> None:
    """Make a call that somebody else may just have made."""
    try:
        await call
    except Refused as refused:
        if not any(done in str(refused) for done in ("already exists", "Library not found")):
            raise


def names_of(listed: Reply) -> list[str]:
    """Of the libraries that the answer to `LIST` tells."""
    return [entry[entry.index(b"library_name") + 1].decode() for entry in listed]


def _passing(refused: Refused) -> BrokerError:
    """An answer like OOM or LOADING means that nothing was done and that it is not the caller's fault."""
    return Unavailable(str(refused)) if refused.kind in PASSING else refused
