"""Numbers as people read them."""

import pytest

from orchestrator.capacity.amounts import amount, line, share, size


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (0.333, "0.33"),
        (12.34, "12.3"),
        (640, "640"),
        (9_500, "9 500"),
        (12_345, "12.3 k"),
        (10_000_000, "10 M"),
        (2.5e9, "2.5 G"),
    ],
)
def test_amounts(value: float, shown: str) -> None:
    """Three figures, with a letter from ten thousand on."""
    assert amount(value) == shown


def test_sizes_lines_and_shares() -> None:
    """Bytes by 1 024, bits by 1 000, parts of a hundred, and multiples where it is more than the whole."""
    assert (size(500), size(1536), size(4.1 * 1024**4)) == ("500 B", "1.5 KiB", "4.1 TiB")
    assert (line(1), line(300_000_000)) == ("8 bit/s", "2.4 Gbit/s")
    assert (share(0), share(0.001), share(0.42), share(1), share(7.67)) == (
        "0 %",
        "under 1 %",
        "42 %",
        "100 %",
        "7.67 ×",
    )
