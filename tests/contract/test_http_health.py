"""The health routes while all is well (contract §3); what they say in outages is in test_outages.py."""

import httpx
import pytest
from tests.servers import OrchestratorServer


@pytest.mark.parametrize("path", ["/health", "/api/chat/health", "/ws/health"])
async def test_a_healthy_service(http: httpx.AsyncClient, path: str) -> None:
    """200 with exactly this object, to anybody."""
    answer = await http.get(path)
    assert answer.status_code == 200
    assert answer.json() == {"status": "healthy"}


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
async def test_probes(http: httpx.AsyncClient, path: str) -> None:
    """A service that can deliver is live and ready."""
    assert (await http.get(path)).status_code == 200


async def test_health_needs_no_loopback_name(http: httpx.AsyncClient, service: OrchestratorServer) -> None:
    """A kubelet asks by address, without headers of ours."""
    answer = await http.get("/health/live", headers={"Host": f"127.0.0.1:{service.port}"})
    assert answer.status_code == 200
