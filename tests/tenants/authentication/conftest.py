"""alice develops at acme."""

import pytest

from tenants.models import Member, Tenant, User
from tenants.roles import Role


@pytest.fixture
def alice(acme: Tenant) -> Member:
    user = User.objects.create_user("alice@acme.example", "a long passphrase")
    member: Member = acme.add_member(user, Role.DEVELOPER, by="test")
    return member
