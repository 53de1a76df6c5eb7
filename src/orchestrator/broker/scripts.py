"""Scripts and commands at the server of a key, with refusals told apart from what passes."""

from typing import Final

from orchestrator.broker.connection import Argument, BrokerError, Refused, Reply, Unavailable
from orchestrator.broker.script_source import Script
from orchestrator.broker.topology import Topology

# Errors that say how the server is, not what the call was: it may be made again later.
PASSING: Final = frozenset(
    {"OOM", "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MISCONF", "NOREPLICAS", "BUSY"}
)


class Scripts:
    """Runs scripts by their digests; a server that does not know one is given it first."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._known: dict[str, Script] = {}

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
        source = self._known.get(script)
        if source is None:
            source = self._known[script] = Script(script)
        try:
            return await self.command(keys[0], "EVALSHA", source.digest, len(keys), *keys, *args)
        except Refused as refused:
            if refused.kind != "NOSCRIPT":
                raise
        await self.command(keys[0], "SCRIPT", "LOAD", source.text)
        return await self.command(keys[0], "EVALSHA", source.digest, len(keys), *keys, *args)


def _passing(refused: Refused) -> BrokerError:
    """An answer like OOM or LOADING means that nothing was done and that it is not the caller's fault."""
    return Unavailable(str(refused)) if refused.kind in PASSING else refused
