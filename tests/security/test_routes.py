"""Every route says who may use it, and stands in the attacks on isolation (contract §6)."""

from pathlib import Path

from starlette.routing import Mount, Route, WebSocketRoute
from tests.security.probes import PROBES
from tests.security.test_scopes import ADMINISTRATION, FIGURES, PUBLIC

from orchestrator.app import create_app
from orchestrator.settings import Settings


def test_every_route_is_public_or_probed(tmp_path: Path) -> None:
    """A route that is added has to be added here: to the public ones, to those of operators, or to the probes."""
    database = f"sqlite+aiosqlite:///{tmp_path}/none.db"
    app = create_app(Settings.from_environment({"DATABASE_URL": database}))
    served = {
        (method, route.path)
        for route in app.routes
        if isinstance(route, Route)
        for method in (route.methods or {"GET"}) - {"HEAD"}
    }
    names = {"tenant": "{tenant_id}", "agent": "{context_id}"}
    operators = {(method, path.format(**names)) for method, path in ADMINISTRATION}
    operators = {(method, path.replace("limits/free", "limits/{tier}")) for method, path in operators}
    open_to_all = {("GET", path) for path in PUBLIC}
    assert served == open_to_all | {("GET", path) for path in FIGURES} | operators | PROBES.keys()
    assert [route.path for route in app.routes if isinstance(route, Mount)] == ["/static"]
    assert [route.path for route in app.routes if isinstance(route, WebSocketRoute)] == ["/ws/{session_id}"]
