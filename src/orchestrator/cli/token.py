"""`orchestrator token`: what callers prove themselves with."""

import os
import time

import click

from orchestrator.admission.administration import Administration
from orchestrator.auth.claims import SCOPES, Claims, Scope
from orchestrator.broker.changes import KEPT_SECONDS
from orchestrator.cli.administration import administer, valid_id, valid_user
from orchestrator.cli.examples import example
from orchestrator.cli.listing import JSON_OPTION, show_json
from orchestrator.errors import Problem
from orchestrator.protocol.tiers import TIERS, Tier
from orchestrator.settings import Settings
from orchestrator.store.errors import NotFound
from orchestrator.store.records import RevocationRecord


@click.group(
    epilog=example(
        "orchestrator token create --tenant acme --sub ada --tier professional",
        "orchestrator token revoke --tenant acme --sub ada",
    )
)
def token() -> None:
    """Make tokens for development, and revoke those of a user."""


@token.command(
    epilog=example(
        "orchestrator token create --tenant acme --sub ada --tier professional",
        "orchestrator token create --sub operator --scope admin --expires 300",
    )
)
@click.option(
    "--tenant",
    metavar="ID",
    type=valid_id,
    help="Whose token it is; may be left out with scope metrics or admin.",
)
@click.option("--sub", "user", required=True, help="The user.")
@click.option("--tier", type=click.Choice(TIERS), help="What the tenant has booked; left out as --tenant is.")
@click.option("--session", metavar="ID", type=valid_id, help="The only session it reaches.")
@click.option(
    "agents",
    "--agent",
    metavar="ID",
    type=valid_id,
    multiple=True,
    help="An agent it reaches; any unless given.",
)
@click.option(
    "scopes", "--scope", type=click.Choice(SCOPES), multiple=True, help="What it opens; chat unless given."
)
@click.option(
    "--expires",
    type=click.IntRange(1, KEPT_SECONDS),  # a longer one would outlive the memory of its revocation
    default=3600,
    show_default=True,
    help="Seconds it is valid.",
)
@JSON_OPTION
def create(
    *,
    tenant: str | None,
    user: str,
    tier: Tier | None,
    session: str | None,
    agents: tuple[str, ...],
    scopes: tuple[Scope, ...],
    expires: int,
    as_json: bool,
) -> None:
    """Make a token, signed with ORCHESTRATOR_JWT_SECRET.

    For development: with a public key or a JWKS the issuer makes the tokens.
    """
    now = int(time.time())
    claims = Claims(
        user=user,
        tenant=tenant,
        tier=tier,
        session=session,
        agents=frozenset(agents) if agents else None,
        scopes=frozenset(scopes or ("chat",)),
        expires=now + expires,
        issued=now,
    )
    made = _signed(claims)
    if as_json:
        return show_json({"token": made, "expires_in": expires})
    return click.echo(made)


@token.command(
    epilog=example(
        "orchestrator token revoke --tenant acme --sub ada",
        "orchestrator token revoke --no-tenant --sub operator",
    )
)
@click.option("--tenant", metavar="ID", type=valid_id, help="The tenant that the tokens name.")
@click.option("--no-tenant", is_flag=True, help="Tokens with scope metrics or admin that name no tenant.")
@click.option("--sub", "user", metavar="S", type=valid_user, required=True, help="The user.")
def revoke(tenant: str | None, no_tenant: bool, user: str) -> None:
    """Refuse all tokens of a user that were issued until now, on every replica.

    Its sockets are closed within a second. A token that is issued later is good, so let the issuer
    make no more of them first. Nothing undoes this but a new token.
    """
    if (tenant is None) is not no_tenant:
        raise click.UsageError("Give --tenant, or --no-tenant for tokens that name none.")
    at = administer(lambda administration, actor: _revoked(administration, tenant, user, actor)).revoked_at
    whose = f"in tenant {tenant}" if tenant else "without a tenant"
    click.echo(
        f"tokens of {user} {whose} issued until {at:%Y-%m-%dT%H:%M:%SZ} are refused;"
        " its sockets are closed within a second"
    )


async def _revoked(
    administration: Administration, tenant: str | None, user: str, actor: str
) -> RevocationRecord:
    record = await administration.revoke_subject(tenant or "", user, actor=actor)
    if tenant:
        try:
            await administration.store.get_tenant(tenant)
        except NotFound:
            click.echo(f"Note: there is no tenant {tenant} on record.", err=True)
    return record


def _signed(claims: Claims) -> str:
    from orchestrator.auth.signing import sign  # noqa: PLC0415 - a quarter of a second that `--help` does not need

    settings = Settings.from_environment(os.environ)
    if settings.jwt_secret is None:
        raise click.UsageError(_no_secret(settings))
    try:
        return sign(claims, settings)
    except Problem as problem:
        raise click.UsageError(problem.detail or problem.title) from None


def _no_secret(settings: Settings) -> str:
    if settings.has_tokens:
        return (
            "Tokens are verified with a public key or a JWKS here: their issuer makes them."
            " This command needs ORCHESTRATOR_JWT_SECRET instead."
        )
    return (
        "ORCHESTRATOR_JWT_SECRET is not set, so nobody asks for tokens. Set it for this command and for the service,"
        " for example to the output of `openssl rand -base64 48`."
    )
