"""What settings keep safe: nobody listens open by mistake, no secret is shown, no variable is lost silently."""

import pytest
from tests.environment import faults, read

from orchestrator.setting_table import SETTINGS
from orchestrator.settings import Settings


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "10.0.0.1", "orchestrator.example", "127.1", "::ffff:10.0.0.1"],  # noqa: S104
)
def test_an_address_others_can_reach_needs_proof_or_consent(host: str) -> None:
    """A bind beyond loopback is refused unless callers or their gateway prove themselves, or the operator vouches."""
    (fault,) = faults(HOST=host)

    assert fault.startswith("ORCHESTRATOR_HOST=")
    assert "ORCHESTRATOR_GATEWAY_SECRET" in fault
    assert "ORCHESTRATOR_TRUST_HEADERS" in fault
    assert faults(HOST=host, GATEWAY_SECRET="s3cret") == ()
    assert faults(HOST=host, TRUST_HEADERS="true") == ()
    assert faults(HOST=host, JWT_SECRET="x" * 32) == ()
    assert faults(HOST=host, JWT_JWKS_URL="https://id.example/keys", JWT_AUDIENCE="chat") == ()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "::ffff:127.0.0.1"])
def test_loopback_needs_neither(host: str) -> None:
    """An address of this machine alone is open in header mode."""
    assert read(HOST=host).is_loopback


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("REDIS_URL", "redis://user:hunter2@/0"),
        ("REDIS_URL", "redis://:hunter2#@localhost/0"),
        ("REDIS_URL", "redis://:hunter/2@localhost/0"),
        ("REDIS_URL", "redis://localhost:hunter2"),
        ("REDIS_URL", "redis://[::1]:hunter2"),
        ("REDIS_URL", "redis://hunter2@localhost/x"),
        ("REDIS_URL", "redis://localhost/x?password=hunter2"),
        ("REDIS_URL", "hunter2"),
        ("REDIS_URL", "redis://user/hunter2@localhost/0"),
        ("DATABASE_URL", "postgres://bob:hunter2@localhost/x"),
        ("DATABASE_URL", "postgresql+psycopg://bob:p@ss:hunter2@:5432/x"),
        ("DATABASE_URL", "postgresql+psycopg:///x?user=bob&password=hunter2"),
        ("GATEWAY_SECRET", "hunter2\nx"),
        ("JWT_SECRET", "hunter2\nx"),
        ("JWT_SECRET", "-----BEGIN hunter2"),
        ("JWT_PUBLIC_KEY", "-----BEGIN PRIVATE KEY-----hunter2"),
        ("JWT_JWKS_URL", "http://ada:hunter2@id.example/keys"),
    ],
)
def test_no_fault_shows_a_secret(name: str, text: str) -> None:
    """A password is masked wherever a mistyped URL has put it."""
    (fault,) = faults(**{name: text})

    assert "hunter" not in fault
    assert "***" in fault


def test_nothing_shown_holds_a_secret() -> None:
    """Neither the list for operators nor the object's own text gives a secret away."""
    settings = read(
        REDIS_URL="redis://u:hunter2@localhost/0?ssl_password=hunter2",
        DATABASE_URL="postgresql+psycopg://u:hunter2@localhost/x",
        GATEWAY_SECRET="hunter2",
    )
    shown = {row.name: row for row in settings.shown()}

    assert "hunter2" not in repr(settings) + repr(shown)
    assert shown["REDIS_URL"].value == "redis://u:***@localhost/0?ssl_password=***"
    assert (shown["ORCHESTRATOR_GATEWAY_SECRET"].value, shown["ORCHESTRATOR_GATEWAY_SECRET"].source) == (
        "***",
        "environment",
    )
    assert list(shown) == [setting.name for setting in SETTINGS]


def test_a_kubernetes_service_link_is_no_port() -> None:
    """`tcp://…` in the port variable is ignored with a warning, its companions silently."""
    settings = read(
        PORT="tcp://10.0.0.7:8008",
        SERVICE_HOST="10.0.0.7",
        SERVICE_PORT_HTTP="8008",
        PORT_8008_TCP_ADDR="10.0.0.7",
        REDIS_PORT="tcp://10.0.0.8:6379",
    )

    assert settings.port == 8008
    assert settings.sources["ORCHESTRATOR_PORT"] == "default"
    (warning,) = settings.warnings
    assert warning.startswith("ORCHESTRATOR_PORT='tcp://10.0.0.7:8008'")


def test_an_unknown_variable_is_a_warning_with_a_guess() -> None:
    """A mistyped name does not stop the start, and its value is not printed."""
    (warning,) = read(GATEWAY_SECRT="hunter2").warnings

    assert warning == (
        "ORCHESTRATOR_GATEWAY_SECRT is not a setting: ignored; did you mean ORCHESTRATOR_GATEWAY_SECRET?"
    )


def test_other_variables_are_not_ours() -> None:
    """What does not begin with the prefix is nobody's business here."""
    assert Settings.from_environment({"ORCHESTRA": "x", "PATH": "/bin"}).warnings == ()
