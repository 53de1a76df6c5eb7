"""What the value of a setting may be: one rule per kind, and how a value is shown without its secrets."""

import ipaddress
import re
from collections.abc import Callable
from typing import Any, Final, cast, get_args
from urllib.parse import SplitResult, urlsplit

import msgspec

from orchestrator.auth.algorithms import ALL
from orchestrator.protocol.identifiers import is_valid_id
from orchestrator.protocol.tiers import (
    DEFAULT_LIMITS,
    LIMIT_MAX,
    LIMIT_NAMES,
    TIERS,
    Tier,
    TierLimits,
    may_be_limit,
)

MASK: Final = "***"

_HOST_NAME: Final = re.compile(r"(?!-)[A-Za-z0-9.-]{1,253}(?<![-.])\Z").match
_SECRET_PARAMETER: Final = re.compile(r"([?&][^=&]*(?:pass|secret|token)[^=&]*=)[^&]*", re.IGNORECASE)
_ODD_PORT: Final = re.compile(r"^(\[[^\]]*\]|[^:/?#]*):(?!\d*(?:[/?#]|\Z))[^/?#]*")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_LOOPBACK: Final = ("127.0.0.0/8", "::1/128")


class Complaint(ValueError):
    """What exactly is wrong with a value; never quotes what may be a password."""


class Rule(msgspec.Struct, frozen=True):
    """One kind of value: `parse` raises ValueError where `allowed` is not met.

    Only the text of a `Complaint` is shown; that of other errors may quote a password.
    """

    allowed: str
    parse: Callable[[str], object]


def whole(low: int, high: int, note: str = "") -> Rule:
    """A whole number within bounds; `note` says what an odd one means."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", text):
            raise ValueError
        return cast("int", _within(int(text), low, high))

    return Rule(f"a whole number from {low} to {high}{note}", parse)


def seconds(low: float, high: float) -> Rule:
    """A duration in seconds, fractions allowed."""
    return Rule(f"a number of seconds from {low:g} to {high:g}", lambda text: _within(float(text), low, high))


def choice(*names: str) -> Rule:
    """One of a few names, in whatever case it is written."""
    by_name = {name.lower(): name for name in names}

    def parse(text: str) -> str:
        if text.lower() not in by_name:
            raise ValueError
        return by_name[text.lower()]

    return Rule(f"one of {', '.join(names)}", parse)


def _within(number: float, low: float, high: float) -> float:
    if not low <= number <= high:  # NaN is neither
        raise ValueError
    return number


def _flag(text: str) -> bool:
    if text.lower() in {"true", "1", "yes", "on"}:
        return True
    if text.lower() in {"false", "0", "no", "off"}:
        return False
    raise ValueError


def _identifier(text: str) -> str:
    if not is_valid_id(text):
        raise ValueError
    return text


def _secret(text: str) -> str:
    if len(text) > 1024 or not text.isascii() or not text.isprintable():
        raise ValueError
    return text


def _host(text: str) -> str:
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        if not _HOST_NAME(text):
            raise ValueError from None
        return text


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`; any name but `localhost` counts as reachable."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _items(text: str) -> list[str]:
    return [item for item in (part.strip() for part in text.split(",")) if item]


def _algorithms(text: str) -> tuple[str, ...]:
    by_name = {name.lower(): name for name in ALL}
    names = [item.lower() for item in _items(text)]
    if not names or not by_name.keys() >= set(names):
        raise ValueError
    return tuple(dict.fromkeys(by_name[name] for name in names))


def _shared_secret(text: str) -> str:
    if "-----BEGIN" in text:
        raise Complaint("a key in PEM is no shared secret")
    return _secret(text)


def _public_key(text: str) -> str:
    """PEM with line ends of its own: many an environment file can hold only a backslash and an n."""
    from orchestrator.auth.keys import public_kind  # noqa: PLC0415 - a quarter of a second that few commands need

    pem = text.replace("\\n", "\n")
    try:
        public_kind(pem)
    except ValueError as error:
        raise Complaint(str(error)) from None
    return pem


def _origin(text: str) -> str:
    parts = urlsplit(text.lower())
    port = parts.port
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or not text.isascii() or "@" in text:
        raise Complaint(f"{text!r} is no origin")
    if parts.path or parts.query or parts.fragment or "*" in text:
        raise Complaint(f"{text!r} is more than an origin, or a pattern")
    # A browser never names its scheme's own port, so an origin that did would match nothing.
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    named = "" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{host}{named}"


def _origins(text: str) -> tuple[str, ...]:
    return tuple(_origin(item) for item in _items(text))


def _networks(text: str) -> tuple[str, ...]:
    found: list[str] = []
    for item in _items(text):
        if item == "loopback":
            found += _LOOPBACK
        else:
            found.append(str(ipaddress.ip_network(item, strict=False)))
    return tuple(found)


def _split(text: str) -> SplitResult:
    parts = urlsplit(text)
    if parts.port == 0:
        raise Complaint("port 0 cannot be reached")
    return parts


def _redis_url(text: str) -> str:
    parts = _split(text)
    if parts.scheme == "redis+sentinel":
        raise Complaint("redis+sentinel is not supported yet")
    if parts.scheme == "unix":
        return _required(text, parts.path.strip("/"), "the path of a socket is missing")
    if parts.scheme not in {"redis", "rediss", "redis+cluster"}:
        raise ValueError
    _required(text, parts.hostname, "the host is missing")
    database = parts.path.removeprefix("/")
    if not re.fullmatch(r"[0-9]{0,4}", database):
        raise Complaint("the path is no database number")
    if parts.scheme == "redis+cluster" and database not in {"", "0"}:
        raise Complaint("a cluster has database 0 alone")
    return text


def _database_url(text: str) -> str:
    parts = _split(text)
    if parts.scheme == "sqlite+aiosqlite":
        # Every process has a memory of its own, so a database in memory would be another one in each.
        path = "" if parts.netloc or ":memory:" in text else parts.path.strip("/")
        return _required(text, path, "the file is missing")
    if parts.scheme != "postgresql+psycopg":
        raise ValueError
    _required(text, parts.hostname or "host=" in parts.query, "the host is missing")
    return _required(text, parts.path.strip("/"), "the database's name is missing")


def _required(text: str, part: object, complaint: str) -> str:
    if not part:
        raise Complaint(complaint)
    return text


def _jwks_url(text: str) -> str:
    parts = _split(text)
    host = _host(parts.hostname or "")
    if not text.isprintable():
        raise ValueError
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        # Whoever can change what is fetched can sign tokens.
        raise ValueError
    return text


def _tier_limits(text: str) -> dict[Tier, TierLimits]:
    try:
        given = msgspec.json.decode(text, type=dict[str, dict[str, Any]])
    except (msgspec.DecodeError, RecursionError) as error:
        raise Complaint(str(error)) from None
    complaints = [line for tier, limits in given.items() for line in _limit_complaints(tier, limits)]
    if complaints:
        raise Complaint("; ".join(complaints))
    return {
        tier: msgspec.structs.replace(defaults, **given.get(tier, {}))
        for tier, defaults in DEFAULT_LIMITS.items()
    }


def _limit_complaints(tier: str, limits: dict[str, Any]) -> list[str]:
    if tier not in TIERS:
        return [f"unknown tier {tier!r}"]
    unknown = [f"unknown limit {name!r} of {tier}" for name in limits if name not in LIMIT_NAMES]
    return unknown + [
        f"{name} of {tier} is {value!r}"
        for name, value in limits.items()
        if name in LIMIT_NAMES and not may_be_limit(value)
    ]


FLAG: Final = Rule("true or false", _flag)
IDENTIFIER: Final = Rule(
    "1 to 128 of the characters A-Z a-z 0-9 . _ @ + -, not beginning with . @ or +", _identifier
)
SECRET: Final = Rule("1 to 1024 printable ASCII characters", _secret)
TEXT: Final = Rule("any text", str)
ALGORITHMS: Final = Rule(f"some of {', '.join(ALL)}, separated by commas", _algorithms)
SHARED_SECRET: Final = Rule("1 to 1024 printable ASCII characters, no PEM", _shared_secret)
PUBLIC_KEY: Final = Rule(
    "a public key in PEM: RSA of 2048 bits or more, P-256, P-384, P-521 or Ed25519; \\n may stand for its line ends",
    _public_key,
)
JWKS_URL: Final = Rule("an https:// address, or an http:// one of this machine", _jwks_url)
HOST: Final = Rule("an IP address or a host name", _host)
ORIGINS: Final = Rule(
    "origins such as https://app.example.com or http://localhost:3000, separated by commas; no path, no *",
    _origins,
)
NETWORKS: Final = Rule(
    "IP addresses, networks such as 10.0.0.0/8, or loopback, separated by commas", _networks
)
REDIS_URL: Final = Rule(
    "redis://HOST[:PORT][/DB], rediss://HOST[:PORT][/DB], redis+cluster://HOST[:PORT] or unix:///PATH[?db=DB]",
    _redis_url,
)
DATABASE_URL: Final = Rule(
    "sqlite+aiosqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST[:PORT]/NAME", _database_url
)
TIER_LIMITS: Final = Rule(
    f"a JSON object by tier ({', '.join(get_args(Tier))}), each an object of whole numbers from 1 to {LIMIT_MAX}"
    f" by limit ({', '.join(LIMIT_NAMES)})",
    _tier_limits,
)


def masked_url(text: str) -> str:
    """`text` without what may be a password, wherever a mistyped URL may have put it."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        return MASK
    user, at, place = rest.rpartition("@")
    name, colon, _ = user.partition(":")
    shown = f"{name}:{MASK}@" if colon else f"{MASK}@" if at else ""
    place = _SECRET_PARAMETER.sub(rf"\1{MASK}", _ODD_PORT.sub(rf"\1:{MASK}", place))
    return f"{scheme}://{shown}{place}"
