"""What a verified token says of its bearer (contract §6)."""

from collections.abc import Mapping
from typing import Any, Final, Literal, cast, get_args

import msgspec

from orchestrator.errors import Problem, Reason
from orchestrator.protocol.identifiers import is_valid_id, is_valid_user_id
from orchestrator.protocol.tiers import TIERS, Tier

Scope = Literal["chat", "metrics", "admin"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

_OF_THE_DEPLOYMENT: Final = frozenset({"metrics", "admin"})
_LATEST: Final = 253_402_300_799  # the last second of the year 9999: what comes after is no time to anybody

Payload = Mapping[str, Any]


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """A token's word, well-formed; only `Tokens.verify` and its tests make one."""

    user: str
    tenant: str | None
    """None only with the scope `metrics` or `admin`, as is the tier."""
    tier: Tier | None
    session: str | None
    """The only session that the token reaches; None: any."""
    agents: frozenset[str] | None
    """The only agents that the token reaches, as it spells them; None: any."""
    scopes: frozenset[Scope]
    expires: float
    """Unix seconds, without the leeway."""
    issued: float | None
    """Unix seconds; None where the token does not say."""

    @property
    def is_of_deployment(self) -> bool:
        """Whether a scope lets it look at more than one tenant."""
        return not self.scopes.isdisjoint(_OF_THE_DEPLOYMENT)


def invalid_token(why: str, reason: Reason = "malformed") -> Problem:
    """The refusal of a token; `why` must not quote it."""
    problem = Problem("unauthorized", why, reason=reason)
    problem.headers = {"WWW-Authenticate": 'Bearer realm="orchestrator", error="invalid_token"'}
    return problem


def claims_of(payload: Payload, names: Mapping[str, str]) -> Claims:
    """What a token's payload says, read by the `names` of the settings; raises `unauthorized`.

    Times are read here and judged by `Validity`. A claim that is there has to be well-formed, also an optional one: one
    that is not understood could have been meant as a limit.
    """
    scopes = _scopes(payload.get(names["scope"], ""), names["scope"])
    expires = moment(payload, "exp")
    if expires is None:
        raise invalid_token("the token has no exp")
    claims = Claims(
        user=_user(payload, names["user"]),
        tenant=_id(payload, names["tenant"]),
        tier=_tier(payload, names["tier"]),
        session=_id(payload, names["session"]),
        agents=_agents(payload, names["agents"]),
        scopes=scopes,
        expires=expires,
        issued=moment(payload, "iat"),
    )
    if not claims.is_of_deployment and (claims.tenant is None or claims.tier is None):
        missing = names["tenant"] if claims.tenant is None else names["tier"]
        raise invalid_token(f"the token has no {missing}")
    return claims


def moment(payload: Payload, name: str) -> float | None:
    """A claim that is a time, in Unix seconds; None where there is none."""
    if name not in payload:
        return None
    value = payload[name]
    # `bool` is an `int` to Python, and no comparison holds for NaN.
    if type(value) not in {int, float} or not 0 <= value <= _LATEST:
        raise invalid_token(f"{name} of the token is no time")
    return value


def _user(payload: Payload, name: str) -> str:
    value = payload.get(name)
    if value is None:
        raise invalid_token(f"the token has no {name}")
    if not isinstance(value, str) or not is_valid_user_id(value):
        raise invalid_token(f"{name} of the token is not 1 to 255 printable characters")
    return value


def _id(payload: Payload, name: str) -> str | None:
    if name not in payload:
        return None
    value = payload[name]
    if not isinstance(value, str) or not is_valid_id(value):
        raise invalid_token(f"{name} of the token is no id")
    return value


def _tier(payload: Payload, name: str) -> Tier | None:
    if name not in payload:
        return None
    for tier in TIERS:
        if tier == payload[name]:
            return tier
    raise invalid_token(f"{name} of the token is not one of the four")


def _agents(payload: Payload, name: str) -> frozenset[str] | None:
    if name not in payload:
        return None
    agents = _texts(payload[name], name)
    if not all(map(is_valid_id, agents)):
        raise invalid_token(f"{name} of the token has one that is no id")
    return frozenset(agents)


def _scopes(value: object, name: str) -> frozenset[Scope]:
    words = value.split() if isinstance(value, str) else _texts(value, name)
    return frozenset(scope for scope in SCOPES if scope in words) or frozenset({"chat"})


def _texts(value: object, name: str) -> list[str]:
    items = cast("list[object]", value) if isinstance(value, list) else [None]
    if not all(isinstance(item, str) for item in items):
        raise invalid_token(f"{name} of the token is no list of names")
    return cast("list[str]", items)
