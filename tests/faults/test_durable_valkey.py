"""The Valkey of the experiments forgets what it is told to forget, and nothing else."""

from pathlib import Path
from typing import Any

import redis
from tests.faults.durable_valkey import DurableValkey


def test_what_it_forgets(tmp_path: Path) -> None:
    """Killed, it has everything; cut at a length, it has what was written until then."""
    server = DurableValkey(tmp_path)
    server.start()
    try:
        client: Any = redis.Redis(port=server.port, decode_responses=True)
        with client:
            client.set("kept", "1")
            length = server.written
            client.set("lost", "1")
            server.kill()
            server.start()
            assert client.mget("kept", "lost") == ["1", "1"]
            server.kill()
            server.forget_after(length)
            server.start()
            assert client.mget("kept", "lost") == ["1", None]
    finally:
        server.kill()
