"""alice develops at acme."""

import pytest

from tenants.models import Member, Tenant
from tenants.roles import Role
from tests.people import join


@pytest.fixture
def alice(acme: Tenant) -> Member:
    return join(acme, "alice@acme.example", Role.DEVELOPER, "a long passphrase")
