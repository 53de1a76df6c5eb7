"""Who administers by HTTP: a token with the scope `admin`, and no tenant."""

from typing import Any

import httpx
from tests.contract.client import unique
from tests.security.minting import HS256, bearer


class Administrator:
    """Somebody whose name no other test has, so that the audit tells her changes from others'."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.name = unique("root")
        self._headers = bearer(HS256.mint(sub=self.name, scope="admin"))

    async def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Any request below `/api/admin`."""
        headers = {**self._headers, **request.pop("headers", {})}
        return await self.http.request(method, f"/api/admin{path}", headers=headers, **request)

    async def done(self, method: str, path: str, body: Any = None, status: int = 200) -> dict[str, Any]:
        """The body of an answer that has to have this status."""
        given = {} if body is None else {"json": body}
        answer = await self.ask(method, path, **given)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def tenant(self, tier: str = "professional", **members: Any) -> str:
        """A new tenant."""
        body = {"id": unique("tenant"), "tier": tier, **members}
        return (await self.done("POST", "/tenants", body, 201))["id"]

    async def context(self, tenant_id: str, kind: str = "agents") -> str:
        """A new agent, workflow or collection of the tenant: its canonical id."""
        body = {"id": unique("c"), "tenant_id": tenant_id}
        return (await self.done("POST", f"/{kind}", body, 201))["id"]

    async def changes(self) -> list[dict[str, Any]]:
        """What the audit has under her name, the newest first."""
        entries = (await self.done("GET", "/audit?limit=1000"))["entries"]
        return [entry for entry in entries if entry["actor"] == f"token:{self.name}"]
