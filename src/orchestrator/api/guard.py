"""Who may use a route: what stands beside each URL in `routes.py`."""

from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.api.endpoints import Endpoint, Handler, KnownRequest
from orchestrator.api.headers import refuse_secrets
from orchestrator.auth.claims import Claims, Scope
from orchestrator.auth.identifier import Identifier
from orchestrator.errors import Problem


class Guard:
    """Lets a request through to its handler with the claims of its token in `request.state.claims`.

    A token in the URL is refused on every route that asks for one.
    """

    def __init__(self, identifier: Identifier) -> None:
        self._identifier = identifier

    def public(self, handler: Handler) -> Endpoint:
        """Anybody: a token is not even looked at."""
        return Endpoint(handler)

    def chat(self, handler: Handler) -> Endpoint:
        """Users; in header mode whoever gets here."""
        return self._with(handler, "chat")

    def metrics(self, handler: Handler) -> Endpoint:
        """Operators; in header mode whoever gets here."""
        return self._with(handler, "metrics")

    def admin(self, handler: Handler) -> Endpoint:
        """Administrators, and only with a token: headers that anybody could send shall not change records."""

        async def guarded(request: KnownRequest) -> Response:
            if not self._identifier.needs_token:
                raise Problem(
                    "insufficient_scope", "administration needs token authentication; here use the commands"
                )
            return await self._pass(handler, "admin", request)

        return Endpoint(guarded)

    def _with(self, handler: Handler, scope: Scope) -> Endpoint:
        return Endpoint(partial(self._pass, handler, scope))

    async def _pass(self, handler: Handler, scope: Scope, request: KnownRequest) -> Response:
        if request.scope["query_string"]:
            refuse_secrets(request.query_params)
        claims = await self._identifier.authenticate(request.headers)
        require_scope(claims, scope)
        request.scope["state"]["claims"] = claims
        return await handler(request)


def require_scope(claims: Claims | None, scope: Scope) -> None:
    """Raise `insufficient_scope` for a token that does not reach so far; `admin` opens everything."""
    if claims is None or not claims.scopes.isdisjoint({scope, "admin"}):
        return
    problem = Problem("insufficient_scope", f"this needs a token with the scope {scope}", scope=scope)
    problem.headers = {
        "WWW-Authenticate": f'Bearer realm="orchestrator", error="insufficient_scope", scope="{scope}"'
    }
    raise problem


def proven_claims(request: Request) -> Claims | None:
    """The claims that the guard found; None in header mode."""
    return request.scope["state"]["claims"]
