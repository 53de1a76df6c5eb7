"""The session's log against a model of it, over random histories and losses."""

import asyncio

import msgspec
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.broker.session_log_model import BYTES_MAX, EVENTS_MAX, SessionLogModel
from tests.broker.tenant import KEEPING, Tenant, raw_client

from orchestrator.broker.broker import Broker
from orchestrator.broker.keys import Keys
from orchestrator.embedded import ValkeyServer

# Without shrinking: that would take longer than a test may, and the steps tell enough.
BOUNDS = settings(
    max_examples=120,
    stateful_step_count=40,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)


def test_no_offset_twice_and_no_silent_hole(valkey: ValkeyServer) -> None:
    """A reader is told everything after its position, or that the position cannot be honoured."""
    keeping = msgspec.structs.replace(KEEPING, log_max_events=EVENTS_MAX, log_max_bytes=BYTES_MAX)

    class OneServer(SessionLogModel):
        """The model on this server."""

        def __init__(self) -> None:
            super().__init__(runner, Tenant(broker, client))

    with asyncio.Runner() as runner, raw_client(valkey.port) as client:
        broker = Broker(valkey.url, Keys("orchestrator", "orchestrator"), keeping)
        runner.run(broker.__aenter__())
        try:
            run_state_machine_as_test(OneServer, settings=BOUNDS)
        finally:
            runner.run(broker.__aexit__())
