"""What leads to all the rest goes last, once nothing of the person can come in any more."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from audit.erasure import deletion, execution, tombstones
from audit.models import DeletionState, ErasureStep
from inference.personal_data import erasure
from tenants.models import Member, Tenant
from tests.audit.subjects import a_member

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def in_an_hour(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(execution, "QUIET", timedelta(hours=1))
    monkeypatch.setattr(erasure, "WATCH_S", 0)
    tombstones.path().unlink(missing_ok=True)
    yield
    tombstones.path().unlink(missing_ok=True)


def test_a_member_stays_until_it_is_quiet() -> None:
    alice = a_member(Tenant.open("acme", by="test"), "alice")
    request = deletion.ask(*alice.who, by="member:1", decides=True)
    execution.work()
    request.refresh_from_db()
    assert request.state == DeletionState.RUNNING
    assert Member.objects.filter(subject_id=alice.id).exists()
    assert alice.left().get("keys", 0) == 0
    assert request.started_at
    request.started_at -= timedelta(hours=2)
    request.save(update_fields=["started_at"])
    ErasureStep.objects.filter(finished_at=None).update(evidence={})  # each is due
    execution.work()
    request.refresh_from_db()
    assert request.state == DeletionState.DONE
    assert alice.left() == {}
