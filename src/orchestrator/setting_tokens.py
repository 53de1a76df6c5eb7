"""What the token settings have to be together: nobody may run open by a mistake in one of them (contract §6)."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from orchestrator.auth.algorithms import ALL, OF_KIND
from orchestrator.setting_table import PREFIX, SETTINGS, closest, did_you_mean
from orchestrator.setting_values import MASK

_TOKENS: Final = f"{PREFIX}JWT_"
TOKEN_KEYS: Final = (f"{_TOKENS}SECRET", f"{_TOKENS}PUBLIC_KEY", f"{_TOKENS}JWKS_URL")
CALLERS_TOKEN: Final = f"{PREFIX}TOKEN"
"""No setting: what commands that call a service prove themselves with."""
_SECRET, _PUBLIC_KEY, _JWKS_URL = TOKEN_KEYS
_OTHERS: Final = tuple(
    setting for setting in SETTINGS if setting.name.startswith(_TOKENS) and setting.name not in TOKEN_KEYS
)
_GATEWAY: Final = f"{PREFIX}GATEWAY_SECRET"
_SHORT_SECRET: Final = 16  # characters: 96 bits, where they are random
_SHORT: Final = 32  # bytes: RFC 7518 §3.2 asks for a key as long as the digest
_NOT_OPEN: Final = "and the service does not run open in its place"


def token_faults(
    given: Mapping[str, str], strangers: Iterable[str], values: Mapping[str, Any]
) -> Iterator[str]:
    """A line for each token setting that would not do what its author expects of it.

    `given` is the environment without its empty values, `strangers` are its names that look like ours and are none,
    `values` those that are valid each by itself, by field.
    """
    for name in filter(is_meant_for_tokens, strangers):
        yield f"{name}={MASK!r}: is not a setting, {_NOT_OPEN}; must not be set{did_you_mean(name)}"
    keys: Final = [name for name in TOKEN_KEYS if name in given]
    if len(keys) > 1:
        yield f"{keys[1]}={MASK!r}: {keys[0]} is set too; must be the only key"
    elif keys:
        yield from _unfit(keys[0], values)
    else:
        reason: Final = f"has no effect without a key, {_NOT_OPEN}; must come with {' or '.join(TOKEN_KEYS)}"
        yield from (other.fault(given[other.name], reason) for other in _OTHERS if other.name in given)


def token_warnings(environ: Mapping[str, str], given: Mapping[str, str]) -> Iterator[str]:
    """A line for what is allowed and hardly meant; `environ` has the empty values too."""
    for name in TOKEN_KEYS:
        if name in environ and name not in given:
            yield f"{name} is empty and counts as unset: nobody has to present a token because of it"
    if 0 < len(given.get(_SECRET, "")) < _SHORT:
        yield f"{_SECRET} is shorter than {_SHORT} bytes: whoever has one token can guess it"
    if 0 < len(given.get(_GATEWAY, "")) < _SHORT_SECRET:
        yield f"{_GATEWAY} is shorter than {_SHORT_SECRET} characters: whoever tries can guess it"
    if (_PUBLIC_KEY in given or _JWKS_URL in given) and f"{_TOKENS}AUDIENCE" not in given:
        yield f"{_TOKENS}AUDIENCE is not set: tokens that the issuer made for other services are accepted too"


def is_meant_for_tokens(stranger: str) -> bool:
    """Whether a name that is no setting was meant to be one of tokens."""
    return stranger.startswith(_TOKENS) or closest(stranger) in TOKEN_KEYS


def _unfit(key: str, values: Mapping[str, Any]) -> Iterator[str]:
    chosen: Final[tuple[str, ...]] = values.get("jwt_algorithms") or ()
    fit: Final = _fitting(key, values)
    if not fit.issuperset(chosen):
        names = ", ".join(name for name in ALL if name in fit)
        yield f"{_TOKENS}ALGORITHMS={','.join(chosen)!r}: does not fit {key}; must be of {names}"


def _fitting(key: str, values: Mapping[str, Any]) -> frozenset[str]:
    """What may be chosen with this key: everything where the key itself is at fault."""
    if key == _SECRET:
        return frozenset(OF_KIND["secret"])
    if key == _JWKS_URL:
        return frozenset(ALL) - frozenset(OF_KIND["secret"])
    if "jwt_public_key" not in values:
        return frozenset(ALL)
    from orchestrator.auth.keys import public_kind  # noqa: PLC0415 - a quarter of a second that few commands need

    return frozenset(OF_KIND[public_kind(values["jwt_public_key"])])
