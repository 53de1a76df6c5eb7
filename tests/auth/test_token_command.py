"""`orchestrator token create`: what it prints is what a service with the same settings takes."""

import json
import time

import pytest
from click.testing import CliRunner, Result
from tests.auth.verifying import tokens_with
from tests.security.minting import SECRET, elliptic

from orchestrator.cli.main import main

ADA = ("--tenant", "acme", "--sub", "ada", "--tier", "free")


def create(*arguments: str, **environ: str) -> Result:
    """The command, in an environment with the shared secret unless another key is given."""
    named = {f"ORCHESTRATOR_{name}": value for name, value in environ.items()}
    return CliRunner().invoke(main, ["token", "create", *arguments], env=named)


def made(*arguments: str, **environ: str) -> str:
    """The token that it prints, and nothing else."""
    result = create(*arguments, **{"JWT_SECRET": SECRET, **environ})
    assert result.exit_code == 0, result.output
    (token,) = result.stdout.splitlines()
    return token


async def test_a_plain_token_is_taken() -> None:
    """With tenant, user and tier it makes a token to chat with for an hour."""
    claims = await tokens_with(jwt_secret=SECRET).verify(made(*ADA))

    assert (claims.user, claims.tenant, claims.tier) == ("ada", "acme", "free")
    assert (claims.session, claims.agents, claims.scopes) == (None, None, {"chat"})
    assert claims.issued is not None
    assert claims.expires == claims.issued + 3600
    assert abs(claims.issued - time.time()) < 60


async def test_every_claim_can_be_given() -> None:
    """Session, agents, scopes and duration are options."""
    bound = ("--session", "s1", "--agent", "1", "--agent", "agent-2")
    token = made(*ADA, *bound, "--scope", "chat", "--scope", "metrics", "--expires", "60")
    claims = await tokens_with(jwt_secret=SECRET).verify(token)

    assert (claims.session, claims.agents) == ("s1", {"1", "agent-2"})
    assert claims.scopes == {"chat", "metrics"}
    assert claims.expires - (claims.issued or 0) == 60


async def test_an_operator_needs_no_tenant() -> None:
    """For the deployment neither tenant nor tier is needed."""
    claims = await tokens_with(jwt_secret=SECRET).verify(made("--sub", "root", "--scope", "admin"))

    assert (claims.tenant, claims.tier, claims.scopes) == (None, None, {"admin"})


async def test_the_settings_are_kept() -> None:
    """Issuer, audience, algorithm and the names of claims are those of the settings."""
    environ = {
        "jwt_secret": SECRET,
        "jwt_issuer": "https://id.example",
        "jwt_audience": "chat",
        "jwt_algorithms": "HS512,HS256",
        "jwt_claim_tenant": "org",
        "jwt_claim_user": "email",
    }
    token = made(*ADA, **{name.upper(): value for name, value in environ.items()})

    assert (await tokens_with(**environ).verify(token)).tenant == "acme"


def test_programs_get_json() -> None:
    """`--json` prints an object with the token and its duration."""
    printed = json.loads(create(*ADA, "--json", "--expires", "60", JWT_SECRET=SECRET).stdout)

    assert printed["token"].count(".") == 2
    assert printed["expires_in"] == 60


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "ORCHESTRATOR_JWT_SECRET is not set"),
        ({"JWT_PUBLIC_KEY": elliptic().public_pem}, "their issuer makes them"),
        ({"JWT_JWKS_URL": "https://id.example/keys"}, "their issuer makes them"),
        ({"JWT_SECRET": SECRET, "JWT_CLAIM_TENANT": "sub"}, "two claims have the same name"),
    ],
)
def test_without_a_secret_there_is_nothing_to_sign_with(environ: dict[str, str], said: str) -> None:
    """What the settings do not allow ends with 2 and a sentence, and prints nothing on stdout."""
    result = create(*ADA, **environ)

    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert result.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("--sub", "ada"),
        ("--sub", "ada", "--tenant", "acme"),
        ("--sub", "ada", "--tier", "free", "--scope", "chat"),
        ("--tenant", "acme", "--tier", "free"),
        ("--tenant", "a:b", "--sub", "ada", "--tier", "free"),
        ("--tenant", "acme", "--sub", "", "--tier", "free"),
        ("--tenant", "acme", "--sub", "ada", "--tier", "gold"),
        (*ADA, "--scope", "root"),
        (*ADA, "--expires", "0"),
        (*ADA, "--expires", "7776001"),
        (*ADA, "--expires", "1.5"),
        (*ADA, "--session", "a b"),
        (*ADA, "--agent", "{}"),
    ],
)
def test_a_token_that_nobody_would_take_is_not_made(arguments: tuple[str, ...]) -> None:
    """What a service would refuse is wrong use already here."""
    result = create(*arguments, JWT_SECRET=SECRET)

    assert (result.exit_code, result.stdout) == (2, "")


def test_the_secret_is_not_printed() -> None:
    """Neither a token nor a complaint shows the secret."""
    for arguments in (ADA, ("--sub", "ada")):
        result = create(*arguments, JWT_SECRET=SECRET)
        assert SECRET not in result.stdout + result.stderr
