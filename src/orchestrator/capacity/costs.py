"""What things cost, as measured: `costs.json` beside this file, or figures of a run of one's own in the same form."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Final

import msgspec

from orchestrator.errors import OrchestratorError


class CostsError(OrchestratorError):
    """The figures cannot be used; the message says why."""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One cost, and where it is from."""

    name: str
    value: float
    unit: str = ""
    source: str = ""
    means: str = ""


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """The figures that a plan goes by; `costs.json` says what each means. µs are of one core."""

    service_us_per_event: float
    service_us_per_call: float
    service_us_per_heard: float
    service_us_per_trip: float
    service_us_per_connect: float
    service_us_per_ping: float
    service_us_per_check: float
    kib_per_socket: float
    mib_per_process: float
    valkey_us_per_event: float
    valkey_us_per_call: float
    valkey_us_per_push: float
    valkey_us_per_heard: float
    valkey_us_per_trip: float
    valkey_us_per_claim: float
    valkey_us_per_connect: float
    valkey_us_per_check: float
    bytes_per_session: float
    bytes_per_log_event: float
    bytes_per_ledger: float


class _Document(msgspec.Struct):
    figures: list[Figure]


NAMES: Final = Costs.__struct_fields__
_decode: Final = msgspec.json.Decoder(_Document).decode


def known_figures() -> list[Figure]:
    """The figures that the package brings along, in the order of `Costs`."""
    return _decode(files("orchestrator.capacity").joinpath("costs.json").read_bytes()).figures


def with_own(figures: Sequence[Figure], document: bytes, source: str) -> list[Figure]:
    """The same figures, with the values of those that `document` has too; raises `CostsError`."""
    own = _own(document, source)
    return [
        figure if figure.name not in own
        else msgspec.structs.replace(figure, value=own[figure.name], source=source)
        for figure in figures
    ]  # fmt: skip


def costs_of(figures: Sequence[Figure]) -> Costs:
    """The figures by name; raises `CostsError`."""
    values = {figure.name: figure.value for figure in figures if figure.name in NAMES}
    if missing := [name for name in NAMES if name not in values]:
        raise CostsError(f"no figure for {', '.join(missing)}")
    if wrong := [name for name, value in values.items() if not value > 0]:
        raise CostsError(f"{', '.join(wrong)}: a cost is above 0")
    return Costs(**values)


def _own(document: bytes, source: str) -> Mapping[str, float]:
    try:
        figures = _decode(document).figures
    except msgspec.DecodeError as error:
        raise CostsError(f"{source} is no file of figures, as `make bench` writes them: {error}") from error
    own = {figure.name: figure.value for figure in figures if figure.name in NAMES}
    if not own:
        raise CostsError(f"{source} has none of the figures that a plan goes by: {', '.join(NAMES)}")
    return own
