"""Where a connection comes from: whose it counts as, and whether it is a trusted proxy's."""

import ipaddress
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class TrustedProxies:
    """The networks whose word about a client is taken."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(network) for network in networks]

    def __contains__(self, address: str) -> bool:
        """Whether the address is in one of them; what is no address is not."""
        known = _parsed(address)
        return known is not None and any(known in network for network in self._networks)


def address_group(address: str) -> str:
    """Whose connections are counted together with this address's; what is no address is a group of its own.

    A group is the address, or its /64 in IPv6: whoever has one of those has all of them.
    """
    known = _parsed(address)
    if known is None or known.version == 4:
        return address if known is None else str(known)
    return str(ipaddress.ip_network((int(known) >> 64 << 64, 64)))


def is_address(text: str) -> bool:
    """Whether this is an IP address; whoever is on a Unix socket has none."""
    return _parsed(text) is not None


def _parsed(address: str) -> Address | None:
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return None
    return getattr(known, "ipv4_mapped", None) or known
