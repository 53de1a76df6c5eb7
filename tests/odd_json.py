"""JSON as hostile and broken programs write it: bytes that readers of JSON disagree about."""

import json
from collections.abc import Sequence
from typing import Final

from hypothesis import strategies as st

NUMBERS: Final = (
    b"0", b"-0", b"01", b"+1", b".5", b"1.", b"0x10", b"1e3", b"1e999", b"-1e999", b"1e-999", b"NaN", b"nan",
    b"-NaN", b"Infinity", b"-Infinity", b"inf", b"9007199254740993", b"9223372036854775807",
    b"9223372036854775808", b"18446744073709551616", b"-9223372036854775809", b"9" * 400, b"0." + b"3" * 400,
    b"2.2250738585072011e-308", b"4503599627370497.5",
)  # fmt: skip
STRINGS: Final = (
    b'""', b'"5"', b'"a\xffb"', b'"a\xe2\x82"', b'"\xac"', b'"\x80\x80"', b'"\xc0\xaf"', b'"\xed\xa0\x80"',
    b'"\xf5\x80\x80\x80"', b'"\\ud83d\\ude80"', b'"\\u0000"', b'"\n"', b'"\t"', b'"\x01\x1f\x7f"',
    b'"\xe2\x80\xa8"', b'"\\/\\b\\f"', b'"\xef\xbb\xbf"', b'"' + b"long " * 3_000 + b'"',
)  # fmt: skip
OTHERS: Final = (
    b"null", b"true", b"false", b"[]", b"{}", b"[null,null,{}]", b'{"a":1,"a":2}', b'{"":1}', b'{"1":1,"2":2}',
    b'{"1":1,"900000":2}', b'{"\xff":2,"\\u0000":3}', b"[" * 40 + b"]" * 40, b"[" * 70 + b"]" * 70,
    b'{"a":' * 900 + b"1" + b"}" * 900,
)  # fmt: skip
BROKEN: Final = (
    b"", b"True", b"undefined", b"[1,]", b"[,1]", b"{1:2}", b'{"a"}', b"/* x */ 1", b"[[[", b"]", b'"open', b"'a'",
    b'"\\x41"', b'"\\u00"', b'"\\ud800"', b'"\\udc00\\ud800"', b'{"\\ud800":1}', b'"\x00"',
    b"[" * 1_001 + b"]" * 1_001, b"[" * 5_000 + b"]" * 5_000,
)  # fmt: skip
"""What most readers refuse, each for a reason of its own."""
AROUND: Final = (*[b""] * 30, b" \r\n", b"\xef\xbb\xbf", b"\x00", b"garbage", b"}", b",{}", b"\x0c")


def listed(values: Sequence[bytes]) -> bytes:
    """A list of them."""
    return b"[" + b",".join(values) + b"]"


def membered(members: Sequence[tuple[bytes, bytes]]) -> bytes:
    """An object of them, in this order."""
    return b"{" + b",".join(name + b":" + value for name, value in members) + b"}"


names = st.sampled_from([b'"a"', b'"a"', b'"b"', b'"1"', b'"2"', b'""', b'"\xff"', b'"\\u0000"'])
leaves = (
    st.sampled_from(NUMBERS)
    | st.sampled_from(STRINGS)
    | st.sampled_from(OTHERS)
    | st.text(st.characters(codec="utf-8"), max_size=6).map(lambda text: json.dumps(text).encode())
    | st.binary(max_size=6).map(lambda text: b'"' + text.translate(None, b'"\\') + b'"')
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3).map(listed) | st.lists(st.tuples(names, inner), max_size=3).map(membered)
    ),
    max_leaves=6,
)
