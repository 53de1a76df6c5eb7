"""Settings: read once from the environment, valid or refused with every reason (contract §2)."""

import msgspec
import pytest
from tests.environment import faults, read, variable

from orchestrator.protocol.tiers import DEFAULT_LIMITS, LIMIT_MAX


def test_an_empty_environment_gives_the_contracts_defaults() -> None:
    """Without any variable the service has the defaults of the contract's table."""
    settings = read()

    found = {
        name: value
        for name, value in msgspec.structs.asdict(settings).items()
        if name not in {"tier_limits", "jwt_claims", "sources"}
    }
    expected = {
        "redis_url": "redis://localhost:6379/0",
        "database_url": "sqlite+aiosqlite:///orchestrator.db",
        "host": "127.0.0.1",
        "port": 8008,
        "domain_name": "orchestrator",
        "callback_queue_prefix": "orchestrator",
        "max_websocket_connections": 1000,
        "websocket_ping_interval": 30,
        "websocket_ping_timeout": 10,
        "enable_access_validation": True,
        "validation_cache_ttl": 300,
        "max_requests_per_session": 100,
        "log_level": "INFO",
        "log_format": "text",
        "task_timeout": 300,
        "task_timeout_max": 3600,
        "task_ttl": 86400,
        "event_log_ttl": 3600,
        "event_log_max_events": 10000,
        "event_log_max_bytes": 8388608,
        "lease": 15,
        "max_attempts": 3,
        "drain_timeout": 30,
        "gateway_secret": None,
        "trust_headers": False,
        "allowed_origins": (),
        "trusted_proxies": ("127.0.0.0/8", "::1/128"),
        "jwt_secret": None,
        "jwt_public_key": None,
        "jwt_jwks_url": None,
        "jwt_algorithms": None,
        "jwt_issuer": None,
        "jwt_audience": None,
        "jwt_leeway": 30,
        "warnings": (),
    }
    assert found == expected
    assert settings.tier_limits == DEFAULT_LIMITS
    assert set(settings.sources.values()) == {"default"}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("REDIS_URL", "redis+cluster://10.0.0.1:7000", "redis+cluster://10.0.0.1:7000"),
        ("REDIS_URL", "unix:///run/valkey.sock?db=1", "unix:///run/valkey.sock?db=1"),
        ("REDIS_URL", "rediss://user:pass@[::1]:6380/2", "rediss://user:pass@[::1]:6380/2"),
        ("DATABASE_URL", "sqlite+aiosqlite:////var/lib/x.db", "sqlite+aiosqlite:////var/lib/x.db"),
        ("DATABASE_URL", "postgresql+psycopg://u:p@db:5432/x", "postgresql+psycopg://u:p@db:5432/x"),
        ("DATABASE_URL", "postgresql+psycopg://u@/x?host=/run/pg", "postgresql+psycopg://u@/x?host=/run/pg"),
        ("HOST", "localhost", "localhost"),
        ("HOST", "[::1]", "::1"),
        ("PORT", " 9000 ", 9000),
        ("PORT", "", 8008),
        ("DOMAIN_NAME", "eu-1", "eu-1"),
        ("WEBSOCKET_PING_INTERVAL", "0.5", 0.5),
        ("ENABLE_ACCESS_VALIDATION", "No", False),
        ("MAX_REQUESTS_PER_SESSION", "0", 0),
        ("LOG_LEVEL", "debug", "DEBUG"),
        ("LOG_FORMAT", "JSON", "json"),
        ("DRAIN_TIMEOUT", "0", 0),
        ("GATEWAY_SECRET", "s3cret", "s3cret"),
        (
            "ALLOWED_ORIGINS",
            "https://A.example:443, http://b.example:3000",
            ("https://a.example", "http://b.example:3000"),
        ),
        ("TRUSTED_PROXIES", "10.1.2.3,fd00::/8", ("10.1.2.3/32", "fd00::/8")),
        ("TRUSTED_PROXIES", "loopback, 10.0.0.0/8", ("127.0.0.0/8", "::1/128", "10.0.0.0/8")),
    ],
)
def test_a_valid_value_is_taken(name: str, text: str, value: object) -> None:
    """What the table allows is read into the field of that name; spaces around it do not count."""
    settings = read(**{name: text})

    assert getattr(settings, name.lower()) == value
    assert settings.sources[variable(name)] == ("environment" if text else "default")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "http://localhost"),
        ("REDIS_URL", "redis:///0"),
        ("REDIS_URL", "redis://localhost:0/0"),
        ("REDIS_URL", "redis://localhost:99999/0"),
        ("REDIS_URL", "redis://localhost/zero"),
        ("REDIS_URL", "redis+cluster://localhost/1"),
        ("REDIS_URL", "redis://[::1/0"),
        ("REDIS_URL", "unix://"),
        ("DATABASE_URL", "postgres://localhost/x"),
        ("DATABASE_URL", "sqlite:///x.db"),
        ("DATABASE_URL", "sqlite+aiosqlite:///"),
        ("DATABASE_URL", "sqlite+aiosqlite:///:memory:"),
        ("DATABASE_URL", "postgresql+psycopg:///x"),
        ("DATABASE_URL", "postgresql+psycopg://localhost"),
        ("HOST", "*"),
        ("HOST", "a b"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "80.5"),
        ("PORT", "٣"),
        ("PORT", "9" * 5000),
        ("DOMAIN_NAME", "a:b"),
        ("DOMAIN_NAME", "{a}"),
        ("CALLBACK_QUEUE_PREFIX", "a b"),
        ("CALLBACK_QUEUE_PREFIX", "x" * 129),
        ("MAX_WEBSOCKET_CONNECTIONS", "-1"),
        ("WEBSOCKET_PING_INTERVAL", "0"),
        ("WEBSOCKET_PING_INTERVAL", "nan"),
        ("WEBSOCKET_PING_TIMEOUT", "inf"),
        ("WEBSOCKET_PING_TIMEOUT", "10s"),
        ("ENABLE_ACCESS_VALIDATION", "maybe"),
        ("VALIDATION_CACHE_TTL", "0"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
        ("MAX_ATTEMPTS", "0"),
        ("GATEWAY_SECRET", "ключ"),
        ("ALLOWED_ORIGINS", "*"),
        ("ALLOWED_ORIGINS", "https://*.example.com"),
        ("ALLOWED_ORIGINS", "https://a.example/path"),
        ("ALLOWED_ORIGINS", "a.example"),
        ("ALLOWED_ORIGINS", "https://user@a.example"),
        ("TRUSTED_PROXIES", "gateway"),
        ("TIER_LIMITS", "free"),
        ("TIER_LIMITS", "[]"),
        ("TIER_LIMITS", '{"free": 5}'),
    ],
)
def test_a_bad_value_is_one_line_that_says_what_is_allowed(name: str, text: str) -> None:
    """A bad value gives one line: the variable, the value (unless it is secret) and what is allowed."""
    (fault,) = faults(**{name: text})

    assert fault.startswith(f"{variable(name)}='")
    assert " must be " in fault
    assert "\n" not in fault
    assert len(fault) < 600


def test_all_faults_are_reported_at_once() -> None:
    """Whoever has three mistakes sees three lines, not three starts."""
    found = faults(PORT="x", LOG_LEVEL="x", LEASE="x")

    assert [fault.partition("=")[0] for fault in found] == [
        "ORCHESTRATOR_PORT",
        "ORCHESTRATOR_LOG_LEVEL",
        "ORCHESTRATOR_LEASE",
    ]


def test_a_value_with_line_breaks_stays_on_one_line() -> None:
    """A fault never spreads over lines, whatever was pasted into the variable."""
    (fault,) = faults(LOG_LEVEL="a\nb\x1b[2J")

    assert fault.isprintable()


def test_a_sentinel_is_not_supported_yet() -> None:
    """`redis+sentinel://` is told apart from a spelling mistake."""
    (fault,) = faults(REDIS_URL="redis+sentinel://localhost/main")

    assert "not supported yet" in fault


def test_tier_limits_override_what_they_name() -> None:
    """`ORCHESTRATOR_TIER_LIMITS` changes the named limits and leaves every other."""
    limits = read(TIER_LIMITS='{"free": {"weight": 3, "max_outstanding": 7}}').tier_limits

    assert (limits["free"].weight, limits["free"].max_outstanding) == (3, 7)
    assert limits["free"].requests_per_minute == DEFAULT_LIMITS["free"].requests_per_minute
    assert limits["enterprise"] == DEFAULT_LIMITS["enterprise"]


def test_a_setting_may_be_what_an_administrator_may_set() -> None:
    """The environment's limits have the bounds of every other: up to LIMIT_MAX, and it says so."""
    limits = read(TIER_LIMITS=f'{{"free": {{"weight": {LIMIT_MAX}}}}}').tier_limits
    assert limits["free"].weight == LIMIT_MAX

    (fault,) = faults(TIER_LIMITS=f'{{"free": {{"weight": {LIMIT_MAX + 1}}}}}')
    assert f"weight of free is {LIMIT_MAX + 1}" in fault
    assert f"from 1 to {LIMIT_MAX} by limit" in fault


def test_unknown_tiers_and_limits_are_named() -> None:
    """Every mistake inside the JSON is named in the one line of the variable."""
    (fault,) = faults(TIER_LIMITS='{"gold": {}, "free": {"wait": 1, "weight": true, "max_connections": 0}}')

    for complaint in (
        "unknown tier 'gold'",
        "unknown limit 'wait'",
        "weight of free is True",
        "max_connections of free is 0",
    ):
        assert complaint in fault


def test_the_longest_timeout_is_not_below_the_usual_one() -> None:
    """Two settings that cannot both hold are a fault."""
    (fault,) = faults(TASK_TIMEOUT_MAX="60")

    assert fault.startswith("ORCHESTRATOR_TASK_TIMEOUT_MAX='60'")
    assert "ORCHESTRATOR_TASK_TIMEOUT" in fault.partition(":")[2]
