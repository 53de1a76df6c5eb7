"""Numbers as people read them."""

from typing import Final

_DECIMAL: Final = ((1e9, 1e9, " G"), (1e6, 1e6, " M"), (1e4, 1e3, " k"))
"""From which number on, in what, and how that is written: 9 500 is as short as 9.5 k."""
_BINARY: Final = ((1024**4, "TiB"), (1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"))
_BITS: Final = ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s"))


def amount(value: float) -> str:
    """`1.25 M`, `6 400`, `0.3`."""
    for least, unit, name in _DECIMAL:
        if value >= least:
            return f"{_figures(value / unit)}{name}"
    return f"{value:,.0f}".replace(",", " ") if value >= 1_000 else _figures(value)


def size(value: float) -> str:
    """`4.1 TiB`."""
    return next(
        (f"{_figures(value / unit)} {name}" for unit, name in _BINARY if value >= unit), f"{value:.0f} B"
    )


def line(value: float) -> str:
    """Bytes a second as `2.4 Gbit/s`."""
    bits = value * 8
    return next(
        (f"{_figures(bits / unit)} {name}" for unit, name in _BITS if bits >= unit), f"{bits:.0f} bit/s"
    )


def share(value: float) -> str:
    """`42 %`, or `3.1 ×` where it is more than the whole."""
    if value > 1:
        return f"{_figures(value)} ×"
    return "under 1 %" if 0 < value < 0.01 else f"{value * 100:.0f} %"


def _figures(value: float) -> str:
    """Three figures at least where the number has them."""
    text = f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
