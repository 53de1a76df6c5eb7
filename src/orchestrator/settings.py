"""One frozen object with every setting, read from the environment once (contract §2)."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal

import msgspec

from orchestrator.errors import SettingsError
from orchestrator.protocol.tiers import Tier, TierLimits
from orchestrator.setting_table import PREFIX, SETTINGS, Setting, did_you_mean
from orchestrator.setting_tokens import (
    CALLERS_TOKEN,
    TOKEN_KEYS,
    is_meant_for_tokens,
    token_faults,
    token_warnings,
)
from orchestrator.setting_values import MASK, Complaint, is_loopback

__all__ = ["Settings", "SettingsError", "ShownSetting", "Source"]

Source = Literal["environment", "default"]
_Values = dict[str, Any]

_CLAIM: Final = "jwt_claim_"
_PROOFS: Final = ("jwt_secret", "jwt_public_key", "jwt_jwks_url", "gateway_secret", "trust_headers")

# What Kubernetes sets in every pod beside a service whose name begins with `orchestrator`.
_SERVICE_LINK: Final = re.compile(
    r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)\Z"
).search
_LINK_VALUE: Final = re.compile(r"(tcp|udp|sctp)://", re.IGNORECASE).match


class ShownSetting(msgspec.Struct, frozen=True):
    """One setting as `orchestrator settings` prints it, secrets masked."""

    name: str
    value: Any
    source: Source


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """A complete, valid configuration; durations are seconds, sizes bytes."""

    redis_url: str
    database_url: str
    host: str
    port: int
    domain_name: str
    callback_queue_prefix: str
    max_websocket_connections: int
    websocket_ping_interval: float
    websocket_ping_timeout: float
    enable_access_validation: bool
    validation_cache_ttl: int
    max_requests_per_session: int
    tier_limits: Mapping[Tier, TierLimits]
    log_level: str
    log_format: Literal["text", "json"]
    task_timeout: int
    task_timeout_max: int
    task_ttl: int
    event_log_ttl: int
    event_log_max_events: int
    event_log_max_bytes: int
    lease: float
    max_attempts: int
    drain_timeout: float
    gateway_secret: str | None
    trust_headers: bool
    allowed_origins: tuple[str, ...]
    trusted_proxies: tuple[str, ...]
    """Networks, each in the form `10.0.0.0/8`."""
    jwt_secret: str | None
    jwt_public_key: str | None
    jwt_jwks_url: str | None
    jwt_algorithms: tuple[str, ...] | None
    jwt_issuer: str | None
    jwt_audience: str | None
    jwt_leeway: float
    jwt_claims: Mapping[str, str]
    """What each of user, tenant, tier, session, agents and scope is called in a token."""

    warnings: tuple[str, ...] = ()
    """What was ignored, one line each; the service logs them when it starts."""
    sources: Mapping[str, Source] = {}
    """Where each variable's value came from."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """Read and check every setting; raises `SettingsError` with all faults at once.

        An empty value counts as unset.
        """
        given = {name: value.strip() for name, value in environ.items() if value.strip()}
        strangers = _strangers(given)
        warnings = [*_ignored(given, strangers), *token_warnings(environ, given)]
        values, faults = _parsed(given)
        faults += _contradictions(values)
        faults += token_faults(given, strangers, values)
        if faults:
            raise SettingsError(tuple(faults))
        claims = {name.removeprefix(_CLAIM): values[name] for name in values if name.startswith(_CLAIM)}
        sources = {setting.name: _source(setting, given) for setting in SETTINGS}
        found = values | {"jwt_claims": claims, "warnings": warnings, "sources": sources}
        return msgspec.convert(found, cls)

    def __repr__(self) -> str:
        # A traceback or a log line that shows this object must not show its secrets.
        return f"Settings(domain_name={self.domain_name!r})"

    @property
    def has_tokens(self) -> bool:
        """Whether callers prove who they are by tokens; else identity comes from headers."""
        return any((self.jwt_secret, self.jwt_public_key, self.jwt_jwks_url))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        return is_loopback(self.host)

    def shown(self) -> list[ShownSetting]:
        """Every setting with its value and source, in the table's order, secrets masked."""
        return [
            ShownSetting(setting.name, self._shown(setting), self.sources[setting.name])
            for setting in SETTINGS
        ]

    def _shown(self, setting: Setting) -> Any:
        if setting.field.startswith(_CLAIM):
            return self.jwt_claims[setting.field.removeprefix(_CLAIM)]
        value = getattr(self, setting.field)
        return setting.shown(value) if isinstance(value, str) else msgspec.to_builtins(value)


def _source(setting: Setting, given: Mapping[str, str]) -> Source:
    return "environment" if _given(setting, given) is not None else "default"


def _given(setting: Setting, given: Mapping[str, str]) -> str | None:
    """What the environment says about a setting, None where it says nothing or not to us."""
    text = given.get(setting.name)
    return None if text and setting.field == "port" and _LINK_VALUE(text) else text


def _parsed(given: Mapping[str, str]) -> tuple[_Values, list[str]]:
    """The value of every setting that has a valid one, and a line for each that has not."""
    values: _Values = {}
    faults: list[str] = []
    for setting in SETTINGS:
        text = _given(setting, given)
        text = setting.default if text is None else text
        try:
            values[setting.field] = None if text is None else setting.rule.parse(text)
        except ValueError as error:
            told = f"{error}; " if isinstance(error, Complaint) else ""
            faults.append(setting.fault(text or "", f"{told}must be {setting.rule.allowed}"))
    return values, faults


def _contradictions(values: _Values) -> Iterator[str]:
    """What is wrong with settings that are valid each by itself; a faulty one is not in `values`."""
    most, usual = values.get("task_timeout_max"), values.get("task_timeout")
    if most is not None and usual is not None and most < usual:
        yield f"{PREFIX}TASK_TIMEOUT_MAX='{most}': must be at least {PREFIX}TASK_TIMEOUT, which is {usual}"
    host = values.get("host")
    if host is not None and not (is_loopback(host) or _has_proof(values)):
        yield (
            f"{PREFIX}HOST={host!r}: other machines could reach it and nothing would prove who they are;"
            " must be a loopback address such as 127.0.0.1 unless callers have tokens"
            f" ({', '.join(TOKEN_KEYS)}), {PREFIX}GATEWAY_SECRET is set,"
            f" or {PREFIX}TRUST_HEADERS=true where a gateway in front is the only way in"
        )


def _has_proof(values: _Values) -> bool:
    """Whether callers prove something, or the operator vouches; a faulty setting has a line of its own already."""
    return any(values.get(field, MASK) for field in _PROOFS)


def _strangers(given: Mapping[str, str]) -> list[str]:
    """The names that look like settings of ours and are none."""
    known = {CALLERS_TOKEN, *(setting.name for setting in SETTINGS)}
    return [
        name for name in given if name.startswith(PREFIX) and name not in known and not _SERVICE_LINK(name)
    ]


def _ignored(given: Mapping[str, str], strangers: Iterable[str]) -> Iterator[str]:
    """A line for each variable that looks like ours and has no effect."""
    known = {setting.name: setting for setting in SETTINGS}
    for name, text in given.items():
        if name in known and _given(known[name], given) is None:
            yield f"{name}={text!r} is a Kubernetes service link and no port: ignored"
    for name in strangers:
        if not is_meant_for_tokens(name):
            yield f"{name} is not a setting: ignored" + did_you_mean(name)
