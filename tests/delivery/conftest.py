"""The delivery side of one replica, with the tenant `acme`."""

from collections.abc import AsyncIterator

import pytest
from tests.broker.tenant import Tenant
from tests.delivery.parts import Parts


@pytest.fixture
def parts(tenant: Tenant) -> Parts:
    """The delivery side of one replica."""
    return Parts(tenant)


@pytest.fixture
async def live(parts: Parts) -> AsyncIterator[Parts]:
    """The same, hearing."""
    async with parts.listening():
        yield parts
