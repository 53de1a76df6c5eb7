"""The promise as a test: the short form of `make faults`, which says what it is."""

import pytest
from tests.faults.catalogue import FAULTS
from tests.faults.plan import Load
from tests.faults.runs import run


@pytest.mark.timeout(400)
async def test_the_promise_is_kept() -> None:
    """Every accepted message ends once and its client can prove that it saw it, whatever is killed meanwhile."""
    lasting = [fault for fault in FAULTS if not fault.takes_back]
    outcome = await run(35, 1, lasting, load=Load(tenants_per_tier=1, sessions_per_tenant=4, rate=8))
    assert not outcome.histories, "\n".join(outcome.histories)
    assert outcome.figures["accepted"] > 50
