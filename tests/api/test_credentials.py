"""What a socket may do before it has proven anything (contract §6)."""

import pytest

from orchestrator.api.credentials import FIRST_FRAME_MAX, Pending, token_of
from orchestrator.errors import Problem


def test_few_of_one_address() -> None:
    """One address may have only so many sockets that have not authenticated; others are not concerned."""
    pending = Pending(of_all=9, most=2)
    with pending.one_of("10.0.0.1"), pending.one_of("10.0.0.1"):
        with pytest.raises(Problem) as raised, pending.one_of("10.0.0.1"):
            pass
        assert raised.value.code == "rate_limited"
        with pending.one_of("10.0.0.2"):
            pass
    with pending.one_of("10.0.0.1"), pending.one_of("10.0.0.1"):
        pass


def test_few_of_one_network() -> None:
    """Whoever has an IPv6 address has 2^64 of them: they count as one."""
    pending = Pending(of_all=9, most=1)
    with pending.one_of("2001:db8:1:2::7"), pytest.raises(Problem), pending.one_of("2001:db8:1:2:ffff::8"):
        pass


def test_few_of_all() -> None:
    """However many addresses they come from, all together are as many as the process has sockets."""
    pending = Pending(of_all=2)
    with pending.one_of("10.0.0.1"), pending.one_of("10.0.0.2"):
        with pytest.raises(Problem) as raised, pending.one_of("10.0.0.3"):
            pass
        assert raised.value.code == "rate_limited"


def test_the_first_frame() -> None:
    """It is `auth` with a token."""
    assert token_of('{"type":"auth","token":"a.b.c"}') == "a.b.c"


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"type":"ping"}',
        '{"type":"auth"}',
        '{"type":"auth","token":7}',
        '{"token":"a.b.c"}',
        "[" * 9_000,
        '{"type":"auth","token":"' + "a" * FIRST_FRAME_MAX + '"}',
    ],
)
def test_any_other_first_frame(frame: str) -> None:
    """Whatever else comes first is refused, and never more than a small frame is read."""
    with pytest.raises(Problem) as raised:
        token_of(frame)
    assert raised.value.code == "unauthorized"
