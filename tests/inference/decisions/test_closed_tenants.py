"""A tenant goes with its decisions; a version that has decided goes with nothing less."""

import pytest
from django.db.models import RestrictedError

from inference.models import Decision
from tenants.models import Tenant
from tests.inference.decisions.made import decided

pytestmark = pytest.mark.django_db


def test_a_tenant_is_deleted_with_its_decisions(acme: Tenant) -> None:
    decided(acme)
    acme.delete()
    assert not Decision.objects.exists()


def test_a_version_that_has_decided_is_not_deleted_alone(acme: Tenant) -> None:
    decision = decided(acme)
    with pytest.raises(RestrictedError):
        decision.version.delete()
