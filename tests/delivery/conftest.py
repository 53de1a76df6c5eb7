"""The delivery side of one replica, with the tenant `acme`."""

import pytest
from tests.broker.tenant import Tenant
from tests.delivery.parts import Parts


@pytest.fixture
def parts(tenant: Tenant) -> Parts:
    """The delivery side of one replica."""
    return Parts(tenant)
