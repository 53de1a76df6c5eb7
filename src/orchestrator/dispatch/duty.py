"""What one replica at a time does for the dispatch of all."""

from orchestrator.dispatch.dispatcher import Dispatcher
from orchestrator.dispatch.retuning import Retuning
from orchestrator.dispatch.supervision import Supervision


class DispatchDuty:
    """Looks after leases that are over and shares that were changed; two replicas that both do it do no harm."""

    def __init__(self, dispatcher: Dispatcher, supervision: Supervision, retuning: Retuning) -> None:
        self._dispatcher = dispatcher
        self._supervision = supervision
        self._retuning = retuning

    async def look(self, *, on_duty: bool) -> None:
        """Every `LOOK_SECONDS` of dispatcher.py, on each replica. Raises `BrokerError`; the next look goes on."""
        if not on_duty:
            self._retuning.leave_to_others()
            return
        await self._dispatcher.look(self._supervision.lapsed)
        await self._retuning.carry_out()
