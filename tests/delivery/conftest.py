"""The delivery side of one replica, with the tenant `acme`."""

from collections.abc import AsyncIterator

import pytest
from tests.broker.tenant import Tenant
from tests.delivery.parts import Parts
from tests.delivery.scripted import Scripted

from orchestrator.delivery.callback_handler import CallbackHandler


@pytest.fixture
def parts(tenant: Tenant) -> Parts:
    """The delivery side of one replica."""
    return Parts(tenant)


@pytest.fixture
async def live(parts: Parts) -> AsyncIterator[Parts]:
    """The same, hearing."""
    async with parts.listening():
        yield parts


@pytest.fixture
def scripted(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """The worker's handler, played by the test."""
    found = Scripted()
    monkeypatch.setattr(CallbackHandler, "handle", lambda _self, tenants: found.handle(tenants))  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    return found
