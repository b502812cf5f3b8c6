"""Stored responses of a person: gone with their erasure and their time, told in their export."""

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.erasure import erasers
from audit.models import Event, Payload
from audit.retention import data_classes
from inference.models import StoredResponse
from inference.personal_data import stored_responses
from tenants.models import ApiKey, Tenant
from tenants.scope import tenant_scope
from tests.inference.stored_responses.rows import WORD, a_response, ids

pytestmark = pytest.mark.django_db(transaction=True)
DAY = timedelta(days=1)


@pytest.fixture
def mine(acme: Tenant) -> ApiKey:
    return ApiKey.issue(acme, "mine", by="test")[0]


@pytest.fixture
def theirs(acme: Tenant) -> ApiKey:
    return ApiKey.issue(acme, "theirs", by="test")[0]


def test_an_erasure_takes_them_and_nobody_elses(mine: ApiKey, theirs: ApiKey) -> None:
    a_response(mine), a_response(mine, over=False)
    other = a_response(theirs)
    eraser, subject = erasers.find("responses"), (mine.tenant_id, mine.subject_id)
    assert eraser
    assert eraser.verify(*subject) == 2
    assert eraser.erase(*subject) == {"responses": 2}
    assert (eraser.verify(*subject), eraser.erase(*subject)) == (0, {"responses": 0})
    assert ids(StoredResponse.objects.all()) == {other.pk}


def test_old_ones_go_with_their_retention_but_those_on_hold(mine: ApiKey, theirs: ApiKey) -> None:
    held, young = a_response(theirs, age=40 * DAY), a_response(mine, age=20 * DAY)
    a_response(mine, age=40 * DAY)
    responses, before = data_classes.of("responses"), timezone.now() - 30 * DAY
    assert (responses.default_days, responses.floor_days) == (30, 1)
    assert responses.count
    assert responses.erase
    counts = responses.count(mine.tenant_id, before)
    assert sum(month["responses"] for month in counts.values()) == 2
    assert responses.erase(mine.tenant_id, before, frozenset({theirs.subject_id})) == 1
    assert ids(StoredResponse.objects.all()) == {held.pk, young.pk}
    assert responses.erase(mine.tenant_id, before, frozenset()) == 1


def test_retention_stays_in_its_tenant(mine: ApiKey, globex: Tenant) -> None:
    a_response(ApiKey.issue(globex, "charlie's", by="test")[0], age=40 * DAY)
    responses = data_classes.of("responses")
    assert responses.erase
    assert responses.erase(mine.tenant_id, timezone.now(), frozenset()) == 0


def test_a_person_takes_them_along(mine: ApiKey, theirs: ApiKey) -> None:
    row, _other = a_response(mine), a_response(theirs)
    row.withdraw(mine.actor)
    (exported,) = stored_responses.exported(mine.tenant_id, mine.subject_id)
    assert (exported["id"], exported["request"]) == (row.public_id, row.pk)
    assert exported["input"][0]["content"] == WORD
    assert exported["fields"]["head"] == {"metadata": {"case": "7"}}
    assert exported["deleted_at"]


def test_a_deletion_is_recorded_once_and_leaves_the_record(mine: ApiKey) -> None:
    row = a_response(mine)
    for _ in range(2):
        row.withdraw(mine.actor)
    (event,) = Event.objects.filter(action="response:delete")
    assert (event.actor, event.subject_id) == (mine.actor, mine.subject_id)
    assert event.detail == {"response": row.public_id}
    assert not StoredResponse.objects.present().exists()
    assert Payload.objects.filter(request_id=row.pk).count() == 2


def test_another_tenants_rows_are_invisible(mine: ApiKey, globex: Tenant) -> None:
    row = a_response(mine)
    with tenant_scope(globex.pk):
        assert not StoredResponse.objects.exists()
    with tenant_scope(mine.tenant_id):
        assert StoredResponse.objects.get().pk == row.pk
