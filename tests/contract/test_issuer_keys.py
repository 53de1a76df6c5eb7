"""Without the issuer's keys nobody can be let in, and the probes say so (contract §3, §6)."""

import asyncio
from pathlib import Path
from typing import Any

from tests.auth.publisher import Publisher, public
from tests.contract.client import unique
from tests.contract.conftest import Connect
from tests.security.minting import rsa
from tests.servers import OrchestratorServer, wait_until


async def test_no_keys_yet(environment: dict[str, str], tmp_path: Path, connect: Connect) -> None:
    """Not ready and `degraded` until keys were had once; live all the while."""
    publisher = Publisher()
    publisher.status = 503
    publisher.publish(public(rsa(), "a"))
    async with publisher.serving():
        own = {"ORCHESTRATOR_JWT_JWKS_URL": publisher.url, "ORCHESTRATOR_DOMAIN_NAME": unique("domain")}
        own["ORCHESTRATOR_CALLBACK_QUEUE_PREFIX"] = unique("own")
        log = tmp_path / "server.log"
        log.touch()
        server = OrchestratorServer(environment | own, log)
        starting = asyncio.create_task(asyncio.to_thread(server.start))
        try:
            http = connect(server)

            async def told(path: str) -> tuple[int, Any]:
                answer = await http.get(path)
                return answer.status_code, answer.json()

            await wait_until(lambda: "service_started" in server.log, within=15)
            not_ready = {"status": "not_ready", "failing": ["issuer"]}

            async def misses_keys_only() -> bool:
                return await told("/health/ready") == (503, not_ready)

            await wait_until(misses_keys_only)
            assert await told("/health") == (200, {"status": "degraded", "failing": ["issuer"]})
            assert (await told("/health/live"))[0] == 200

            publisher.status = 200
            await starting
            assert await told("/health") == (200, {"status": "healthy"})
        finally:
            server.kill()
            await asyncio.gather(starting, return_exceptions=True)
