"""Every setting, one row each (contract §2); docs/settings.md is held against this table."""

import difflib
from typing import Final, Literal

import msgspec

from orchestrator.setting_values import (
    ALGORITHMS,
    DATABASE_URL,
    FLAG,
    HOST,
    IDENTIFIER,
    JWKS_URL,
    MASK,
    NETWORKS,
    ORIGINS,
    PUBLIC_KEY,
    REDIS_URL,
    SECRET,
    SHARED_SECRET,
    TEXT,
    TIER_LIMITS,
    Rule,
    choice,
    masked_url,
    seconds,
    whole,
)

PREFIX: Final = "ORCHESTRATOR_"
_DAY: Final = 86_400
_YEAR: Final = 365 * _DAY
_LONGEST: Final = 200


class Setting(msgspec.Struct, frozen=True):
    """One environment variable: `default` is what one would type, None where there is none."""

    name: str
    default: str | None
    rule: Rule
    meaning: str
    masked: Literal["no", "whole", "url"] = "no"

    @property
    def field(self) -> str:
        """Its name in `Settings`."""
        return self.name.removeprefix(PREFIX).lower()

    def shown(self, text: str) -> str:
        """`text` as it may be printed or logged."""
        if self.masked == "whole":
            return MASK
        return masked_url(text) if self.masked == "url" else text

    def fault(self, text: str, reason: str) -> str:
        """The line that refuses `text` as its value."""
        shown = self.shown(text)
        return f"{self.name}={shown if len(shown) <= _LONGEST else shown[:_LONGEST] + '…'!r}: {reason}"


def _own(name: str, default: str | None, rule: Rule, meaning: str) -> Setting:
    return Setting(PREFIX + name, default, rule, meaning)


_JWT: Final = (
    Setting(
        PREFIX + "JWT_SECRET", None, SHARED_SECRET, "Key of tokens signed with a shared secret.", "whole"
    ),
    Setting(
        PREFIX + "JWT_PUBLIC_KEY",
        None,
        PUBLIC_KEY,
        "Key of tokens signed with a private key, as PEM.",
        "whole",
    ),
    Setting(PREFIX + "JWT_JWKS_URL", None, JWKS_URL, "Where the keys of tokens are published.", "url"),
    _own("JWT_ALGORITHMS", None, ALGORITHMS, "Accepted algorithms; by the kind of key unless given."),
    _own("JWT_ISSUER", None, TEXT, "Required `iss` of a token; any unless given."),
    _own("JWT_AUDIENCE", None, TEXT, "Required `aud` of a token; any unless given."),
    _own("JWT_LEEWAY", "30", seconds(0, 600), "Tolerated difference between clocks, in seconds."),
    _own("JWT_CLAIM_USER", "sub", TEXT, "Claim that names the user."),
    _own("JWT_CLAIM_TENANT", "tenant_id", TEXT, "Claim that names the tenant."),
    _own("JWT_CLAIM_TIER", "tier", TEXT, "Claim that names the tier."),
    _own("JWT_CLAIM_SESSION", "session_id", TEXT, "Claim that binds a token to one session."),
    _own("JWT_CLAIM_AGENTS", "agents", TEXT, "Claim that lists the agents a token may reach."),
    _own("JWT_CLAIM_SCOPE", "scope", TEXT, "Claim that lists scopes."),
)

SETTINGS: Final[tuple[Setting, ...]] = (
    Setting("REDIS_URL", "redis://localhost:6379/0", REDIS_URL, "Redis 7.0 or Valkey 7.2, or newer.", "url"),
    Setting(
        "DATABASE_URL",
        "sqlite+aiosqlite:///orchestrator.db",
        DATABASE_URL,
        "Tenants, agents and grants; may be absent while access validation is off.",
        "url",
    ),
    _own(
        "HOST",
        "127.0.0.1",
        HOST,
        "Address to listen on; beyond loopback only with tokens or behind a gateway.",
    ),
    _own("PORT", "8008", whole(1, 65_535), "Port to listen on; a Kubernetes service link is ignored."),
    _own("DOMAIN_NAME", "orchestrator", IDENTIFIER, "Names this deployment in keys, metrics and logs."),
    _own("CALLBACK_QUEUE_PREFIX", "orchestrator", IDENTIFIER, "First part of the callback queues' names."),
    _own("MAX_WEBSOCKET_CONNECTIONS", "1000", whole(1, 1_000_000), "Open sockets of one process."),
    _own("WEBSOCKET_PING_INTERVAL", "30", seconds(0.1, 3600), "Seconds between two pings."),
    _own("WEBSOCKET_PING_TIMEOUT", "10", seconds(0.1, 3600), "Seconds a peer may take to answer one."),
    _own("ENABLE_ACCESS_VALIDATION", "true", FLAG, "Whether tenants and agents are looked up."),
    _own("VALIDATION_CACHE_TTL", "300", whole(1, 7 * _DAY), "Seconds Redis remembers an access answer."),
    _own(
        "MAX_REQUESTS_PER_SESSION",
        "100",
        whole(0, 1_000_000, "; 0 is no limit"),
        "Sends of one session in any hour.",
    ),
    _own("TIER_LIMITS", "{}", TIER_LIMITS, "What differs from the default limits, by tier."),
    _own("LOG_LEVEL", "INFO", choice("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"), "Least level logged."),
    _own("LOG_FORMAT", "text", choice("text", "json"), "Lines for people, or one JSON object each."),
    _own("TASK_TIMEOUT", "300", whole(1, _YEAR), "Seconds a task may take unless its sender says otherwise."),
    _own("TASK_TIMEOUT_MAX", "3600", whole(1, _YEAR), "The most seconds a sender may ask for."),
    _own("TASK_TTL", "86400", whole(1, _YEAR), "Seconds a ledger is kept after its task ended."),
    _own("EVENT_LOG_TTL", "3600", whole(1, _YEAR), "Seconds a session's log is kept after its last event."),
    _own("EVENT_LOG_MAX_EVENTS", "10000", whole(1, 10_000_000), "Events a session's log holds."),
    _own("EVENT_LOG_MAX_BYTES", "8388608", whole(1024, 1 << 30), "Bytes a session's log holds."),
    _own(
        "LEASE",
        "15",
        seconds(0.1, 3600),
        "Seconds of silence after which a worker counts as gone, and its tasks are given to others.",
    ),
    _own(
        "MAX_ATTEMPTS", "3", whole(1, 100), "Attempts at one task before it fails; an agent may have its own."
    ),
    _own("DRAIN_TIMEOUT", "30", seconds(0, 3600), "Seconds a stopping replica gives to what it has in hand."),
    Setting(
        PREFIX + "GATEWAY_SECRET",
        None,
        SECRET,
        "What every request must carry in `X-Gateway-Secret`.",
        "whole",
    ),
    _own("TRUST_HEADERS", "false", FLAG, "Listen beyond loopback though nothing proves who calls."),
    _own("ALLOWED_ORIGINS", "", ORIGINS, "Origins of browsers besides the service's own."),
    _own("TRUSTED_PROXIES", "loopback", NETWORKS, "Whose `X-Forwarded-*` headers are believed."),
    *_JWT,
)


def did_you_mean(name: str) -> str:
    """The end of a sentence about a name that is no setting, '' where nothing comes near it."""
    close = closest(name)
    return f"; did you mean {close}?" if close else ""


def closest(name: str) -> str | None:
    """The setting that was probably meant."""
    near = difflib.get_close_matches(name, [setting.name for setting in SETTINGS], n=1, cutoff=0.8)
    return near[0] if near else None
