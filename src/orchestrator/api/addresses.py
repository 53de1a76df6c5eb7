"""Where a connection comes from: whose it counts as, and whether it is a trusted proxy's."""

import ipaddress
from collections.abc import Iterable
from typing import Any, cast

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class TrustedProxies:
    """The networks whose word about a client is taken."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(network) for network in networks]

    def __contains__(self, address: str | Address) -> bool:
        """Whether the address is in one of them; what is no address is not."""
        known = parsed(address) if isinstance(address, str) else address
        return known is not None and any(known in network for network in self._networks)


def peer_in(peername: object) -> tuple[str, int] | None:
    """Address and port of a transport's `peername`; whoever is on a Unix socket has none."""
    if not isinstance(peername, tuple):
        return None
    host, port, *_ = cast("tuple[Any, ...]", peername)
    return str(host), int(port)


def address_group(address: str) -> str:
    """Whose connections are counted together with this address's; what is no address is a group of its own."""
    known = parsed(address)
    return address if known is None else group_of(known)


def group_of(known: Address) -> str:
    """A group is the address, or its /64 in IPv6: whoever has one of those has all of them."""
    if known.version == 4:
        return str(known)
    return str(ipaddress.ip_network((int(known) >> 64 << 64, 64)))


def parsed(address: str) -> Address | None:
    """The address, or None for what is none: whoever is on a Unix socket has none."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return None
    return getattr(known, "ipv4_mapped", None) or known
