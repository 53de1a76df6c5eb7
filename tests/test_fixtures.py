"""The fixtures themselves: a check that cannot fail checks nothing."""

import pytest
import redis
from tests.permanent_keys import keys_without_end

from orchestrator.embedded import ValkeyServer


def test_a_key_without_a_ttl_is_found(valkey: ValkeyServer) -> None:
    """A key that would stay for ever is reported, unless it is on the list of permanent ones."""
    with redis.Redis(port=valkey.port, decode_responses=True) as client:
        client.set("forgotten", 1)
        client.set("with-an-end", 1, ex=60)
        client.lpush("execution:agent-1:free", "{}")

        assert list(keys_without_end(client)) == ["forgotten"]

        client.delete("forgotten")


def test_a_cluster_refuses_two_slots(valkey_cluster: ValkeyServer) -> None:
    """The one-node cluster is a real one: a command over two slots is refused."""
    client = redis.Redis(port=valkey_cluster.port)
    with client, pytest.raises(redis.ResponseError, match="same slot"):
        client.mset({"a": 1, "b": 1})
