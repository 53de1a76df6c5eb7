"""What the settings say, and the issuer that they name."""

from typing import Final

from orchestrator.auth.issuer import Issuer, IssuerError
from orchestrator.auth.key_set import keys_of
from orchestrator.diagnosis.examination import CHECK_SECONDS, Examination
from orchestrator.diagnosis.faults import Fault, Finding, found, well

_PATIENCE: Final = CHECK_SECONDS - 0.3


async def settings(exam: Examination) -> list[Finding]:
    """Every variable that looks like ours has an effect; faulty ones end the command before."""
    if exam.settings.warnings:
        return [found(Fault.SETTING_IGNORED, warning) for warning in exam.settings.warnings]
    given = sum(source == "environment" for source in exam.settings.sources.values())
    return [well(f"valid, {given} from the environment; `orchestrator settings` shows all")]


async def identity(exam: Examination) -> list[Finding]:
    """Who calls is proven by something, or nobody else can call."""
    given = exam.settings
    if given.has_tokens:
        return [well("callers have tokens")]
    if given.gateway_secret:
        return [well("a gateway says who calls, and proves itself by its secret")]
    if given.is_loopback:
        return [well("headers say who calls; only this machine can")]
    return [found(Fault.HEADERS_BELIEVED, f"on {given.host} headers say who calls, and nothing proves them")]


async def issuer(exam: Examination) -> list[Finding]:
    """The keys of tokens can be fetched."""
    url = exam.settings.jwt_jwks_url
    if url is None:
        return [well("no JWKS is used")]
    try:
        keys = keys_of(await Issuer(url, patience=_PATIENCE).document(), exam.settings.jwt_algorithms)
    except (IssuerError, ValueError) as error:
        return [found(Fault.ISSUER_UNREACHABLE, f"the keys cannot be fetched: {error}")]
    return [well(f"{len(keys)} keys")]
