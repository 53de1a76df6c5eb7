"""Whether the peers run here: starts each one and lets it answer once."""

import argparse
import asyncio
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.servers import free_port

from benchmarks.peers.check import BrokenError, check
from benchmarks.peers.homes import LeftOutError
from benchmarks.peers.peer import FLOOR, PEERS, Peer
from benchmarks.peers.running import running
from orchestrator.embedded import EmbeddedValkey

ALL: Final = {peer.name: peer for peer in (*PEERS, FLOOR)}


def main() -> None:
    """Exit code 1 where one of them does not do what it has to; one that is left out only says so."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(ALL))
    names = parser.parse_args().names or list(ALL)
    if unknown := set(names) - set(ALL):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(ALL)}")
    right = [_right(ALL[name]) for name in names]
    sys.exit(0 if all(right) else 1)


def _right(peer: Peer) -> bool:
    try:
        began = _answer_once(peer)
    except LeftOutError as error:
        print(f"{peer.name}: left out: {error}", flush=True)
    except (BrokenError, TimeoutError, OSError) as error:
        print(f"{peer.name}: WRONG: {error or type(error).__name__}", flush=True)
        return False
    else:
        print(f"{peer.name}: right, in {time.monotonic() - began:.1f} s; {peer.says}", flush=True)
        print(f"  {peer.versions()}", flush=True)
    return True


def _answer_once(peer: Peer) -> float:
    """When it began to start."""
    with TemporaryDirectory() as name, EmbeddedValkey(Path(name)) as valkey:
        peer.home.prepare()
        began = time.monotonic()
        with running(peer, valkey.url, free_port(), Path(name) / "peer.log") as found:
            asyncio.run(check(found, valkey.url))
        return began


if __name__ == "__main__":
    main()
