"""Turn policies against a model of them, over random conversations and deaths of replicas."""

import asyncio

from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.broker.tenant import KEEPING, Tenant, raw_client
from tests.broker.turns_model import TurnsModel

from orchestrator.broker.broker import Broker
from orchestrator.broker.keys import Keys
from orchestrator.embedded import ValkeyServer

# Without shrinking: that would take longer than a test may, and the steps tell enough.
BOUNDS = settings(
    max_examples=120,
    stateful_step_count=30,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)


def test_each_ends_once_and_none_waits_for_ever(valkey: ValkeyServer) -> None:
    """Each accepted message ends once; where only `queue` is used one at most is active; nothing is held for ever."""

    class OneServer(TurnsModel):
        """The model on this server."""

        def __init__(self) -> None:
            super().__init__(runner, Tenant(broker, client))

    with asyncio.Runner() as runner, raw_client(valkey.port) as client:
        broker = Broker(valkey.url, Keys("orchestrator", "orchestrator"), KEEPING)
        runner.run(broker.__aenter__())
        try:
            run_state_machine_as_test(OneServer, settings=BOUNDS)
        finally:
            runner.run(broker.__aexit__())
