"""The life of tasks, attempts and logs against a model of it, over random histories.

The same few in the suite each time; `make model` tries many more, and others at each run.
"""

import asyncio
import os
from typing import Final

import pytest
from hypothesis.stateful import run_state_machine_as_test
from tests.broker.life_model import LifeModel
from tests.broker.tenant import KEEPING, Tenant, raw_client
from tests.generated import bounds

from orchestrator.broker.broker import Broker
from orchestrator.broker.keys import Keys
from orchestrator.embedded import ValkeyServer

EXAMPLES: Final = int(os.environ.get("MODEL_EXAMPLES", "0"))
FEW: Final = 50
STEPS: Final = 40

BOUNDS: Final = bounds(FEW, EXAMPLES, stateful_step_count=STEPS)


@pytest.mark.timeout(110 + 10 * EXAMPLES)
def test_each_task_ends_once_and_everybody_is_told(valkey: ValkeyServer) -> None:
    """Records, queues, figures and logs are what the contract says after each step; in the end each task ended once."""

    class OneServer(LifeModel):
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
