"""`REDIS_URL` understood once: how to open a connection of the kind that a role needs."""

from typing import Any, Final, cast
from urllib.parse import urlsplit

from redis.asyncio.connection import AbstractConnection, Connection, parse_url
from redis.maint_notifications import MaintNotificationsConfig

_CLUSTER: Final = "redis+cluster"
CONNECT_TIMEOUT_SECONDS: Final = 2.0


class Endpoint:
    """One server, or the first known node of a Cluster (`redis+cluster://`)."""

    def __init__(self, url: str, *, address: tuple[str, int] | None = None) -> None:
        scheme = urlsplit(url).scheme
        self.url = url
        self.is_cluster = scheme == _CLUSTER
        options: dict[str, Any] = dict(
            parse_url(url.replace(_CLUSTER, "redis", 1) if self.is_cluster else url)
        )
        self._make = cast("type[Connection]", options.pop("connection_class", Connection))
        if address:
            options["host"], options["port"] = address
        if self.is_cluster:
            options.pop("db", None)
        self._options = options

    def at(self, host: str, port: int) -> "Endpoint":
        """The same credentials and scheme at another node."""
        return Endpoint(self.url, address=(host, port))

    def __str__(self) -> str:
        """Where it is, without credentials, for logs."""
        where = self._options.get("path") or f"{self._options.get('host')}:{self._options.get('port', 6379)}"
        return str(where)

    def connection(self, *, protocol: int = 2) -> AbstractConnection:
        """A connection, not yet open, that neither retries nor times out by itself.

        The client's own retries would send a write twice (one `LPUSH` made two elements when the
        server stalled); time limits are `Wire`'s, for a whole pipeline at once.
        """
        return self._make(
            **self._options,
            protocol=protocol,
            socket_timeout=None,
            socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
