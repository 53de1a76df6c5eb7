"""Depth as the scan tells it before anything is decoded, and numbers as the decoder would read them."""

import json
import math
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.protocol.json_limits import DEPTH_MAX, finite, is_deeper

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='[]{}"\\aé'),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='[{"\\}]a'), inner, max_size=4)
    ),
    max_leaves=80,
)

plain = msgspec.json.Decoder().decode
hooked = msgspec.json.Decoder(float_hook=finite).decode


def depth(value: Any) -> int:
    """How deep a decoded value nests."""
    if isinstance(value, dict):
        value = list(cast("dict[str, Any]", value).values())
    if isinstance(value, list):
        return 1 + max(map(depth, cast("list[Any]", value)), default=0)
    return 0


@given(VALUES, st.integers(0, 12), st.booleans())
def test_the_scan_says_what_a_decoder_would_find(value: Any, levels: int, ascii_only: bool) -> None:
    """Whatever stands in strings: brackets, quotes, backslashes."""
    raw = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert is_deeper(raw, levels) == (depth(value) > levels)
    assert is_deeper(b"[" * 40 + raw + b"]" * 40, 40 + levels) == (depth(value) > levels)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'["]",', b'{"\\"}":['])
def test_what_does_not_end_is_deep_too(opening: bytes) -> None:
    """What would make a decoder go down is refused before it does, valid or not."""
    assert is_deeper(opening * 50_000, DEPTH_MAX)
    assert is_deeper(opening * (DEPTH_MAX + 1), DEPTH_MAX)
    assert not is_deeper(opening * (DEPTH_MAX // 2), DEPTH_MAX)


@pytest.mark.parametrize(
    "raw", [b"", b'"' + b"[" * 99, b'"\\', b"]" * 99, b"][" * 99, b'["\\"[", "]"]' * 99, b'[""]' * 99]
)
def test_what_is_no_json_is_not_deep(raw: bytes) -> None:
    """An unfinished string hides what is in it, and brackets that close nothing are no levels: the decoder says so."""
    assert not is_deeper(raw, DEPTH_MAX)


@given(st.floats(allow_nan=False, allow_infinity=False) | st.decimals(allow_nan=False, allow_infinity=False))
def test_numbers_are_read_as_the_decoder_reads_them(number: Any) -> None:
    """To the last bit, and as text too."""
    text = f"[{number}, {number:e}]"
    if abs(float(number)) < math.inf:
        assert repr(hooked(text)) == repr(plain(text))


@pytest.mark.parametrize(
    "text", ["1e309", "-1e309", "1e99999", "[0.1, 9e999]", "1.", ".5", "1e", "01.5", "NaN", "Infinity"]
)
def test_what_is_no_number_is_refused_as_before(text: str) -> None:
    """The same error, in the same words."""
    with pytest.raises(msgspec.DecodeError) as expected:
        plain(text)
    with pytest.raises(msgspec.DecodeError) as found:
        hooked(text)
    assert (type(found.value), str(found.value)) == (type(expected.value), str(expected.value))
