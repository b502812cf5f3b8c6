"""What an adapter took, by version, as its page and the management API have it."""

import pytest
from django.utils import timezone

from inference.adapters import usage
from inference.adapters.usage import VersionUsage
from inference.models import Adapter
from tenants.models import Tenant
from tests.inference.usages import use


@pytest.mark.django_db
def test_a_try_that_is_repeated_is_no_request_but_is_billed(acme: Tenant) -> None:
    adapter = Adapter(tenant=acme, base="smollm2", name="support")
    for repeated in (False, True):
        version = "tuned@1"
        now = timezone.now()
        use(acme, created_at=now, adapter="support", adapter_version=version, repeated=repeated)
    use(acme, created_at=timezone.now(), adapter="other")
    assert usage.by_version(adapter) == [VersionUsage("tuned@1", 1, 24, 68, 14)]
