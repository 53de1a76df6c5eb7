"""Administration over HTTP: the operator's verbs for callers whose token has the scope `admin`."""

from collections.abc import Mapping

from orchestrator.admission.administration import Administration
from orchestrator.api.admin.contexts import ContextRoutes
from orchestrator.api.admin.deployment import DeploymentRoutes
from orchestrator.api.admin.desk import Desk
from orchestrator.api.admin.tenants import TenantRoutes
from orchestrator.protocol.tiers import Tier, TierLimits
from orchestrator.telemetry import Log


class Admin:
    """The routes below `/api/admin`. The guard in routes.py has let in who asks, and left the claims.

    `administration` is None where access is not validated: then there are no records to administer.
    `tier_limits` are those of the environment.
    """

    def __init__(
        self, administration: Administration | None, tier_limits: Mapping[Tier, TierLimits], log: Log
    ) -> None:
        desk = Desk(administration, log)
        self.tenants = TenantRoutes(desk)
        self.agents = ContextRoutes(desk, "agent")
        self.workflows = ContextRoutes(desk, "workflow")
        self.collections = ContextRoutes(desk, "collection")
        self.deployment = DeploymentRoutes(desk, tier_limits)
