"""Scripts and commands at the server of a key, with refusals told apart from what passes."""

from typing import Final

from orchestrator.broker.connection import Argument, BrokerError, Refused, Reply, Unavailable
from orchestrator.broker.libraries import Library, library_of
from orchestrator.broker.topology import Topology

# Errors that say how the server is, not what the call was: it may be made again later.
PASSING: Final = frozenset(
    {"OOM", "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MISCONF", "NOREPLICAS", "BUSY"}
)
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

    async def _load(self, key: str, library: Library) -> None:
        """Give it to the server of `key`; somebody else may be faster."""
        try:
            await self.command(key, "FUNCTION", "LOAD", library.text)
        except Refused as refused:
            if refused.kind == "NOPERM":
                raise Refused(f"{refused}; {_LEFT_TO_THE_SERVICE}") from None
            if "already exists" not in str(refused):
                raise


def _passing(refused: Refused) -> BrokerError:
    """An answer like OOM or LOADING means that nothing was done and that it is not the caller's fault."""
    return Unavailable(str(refused)) if refused.kind in PASSING else refused
