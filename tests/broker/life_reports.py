"""What agents may report of a task, with numbers that repeat, are missing or leave something out."""

from typing import Any, Final

from hypothesis import strategies as st

BIG: Final = "x" * 66_000
"""Makes a callback one that Python reads."""
STATUSES: Final = ("running", "streaming", "streaming", "streaming", "progress")
ENDS: Final = ("completed", "completed", "completed", "failed", "failed", "timeout", "cancelled")
DETAILS: Final[tuple[dict[str, Any], ...]] = ({}, {"step": 1}, {"step": 1}, {"step": BIG})
RESULTS: Final[tuple[dict[str, Any], ...]] = (
    {}, {}, {}, {"response": "r"}, {"response": BIG}, {"error": {"code": "own"}},
)  # fmt: skip


@st.composite
def reports(draw: st.DrawFn) -> dict[str, Any]:
    """Something that is no ending."""
    status = draw(st.sampled_from(STATUSES))
    if status == "streaming":
        delta = draw(st.text(st.characters(codec="utf-8"), max_size=8))
        seq = draw(st.sampled_from([None, *range(6)]))
        return {"status": status, "result": {"delta": delta}, **({} if seq is None else {"seq": seq})}
    lease = status == "running" and draw(st.booleans())
    return {"status": status, "result": draw(st.sampled_from(DETAILS)), **({"lease": 30} if lease else {})}


@st.composite
def endings(draw: st.DrawFn) -> dict[str, Any]:
    """An ending, or a failure that asks for another attempt."""
    status = draw(st.sampled_from(ENDS))
    retry = status == "failed" and draw(st.booleans())
    return {"status": status, "result": draw(st.sampled_from(RESULTS)), **({"retry": True} if retry else {})}
