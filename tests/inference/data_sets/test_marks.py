"""Models that were trained on words of an erased person are marked, and their owners told."""

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import Event
from inference.data_sets import deleting
from inference.models import (
    DataSet,
    DataSetNotice,
    DataSetVersion,
    ModelVersion,
)
from inference.personal_data import data_sets, jobs
from tenants.models import Member, Tenant
from tests.inference.data_sets.conftest import BY, chat, jsonl, uploaded
from tests.inference.data_sets.made import a_job, a_model

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def version(manual: DataSet, bob: Member) -> DataSetVersion:
    return uploaded(manual, jsonl([chat("his", person=str(bob.subject_id)), chat("nobody's")]))


def marked() -> set[str]:
    return set(ModelVersion.objects.exclude(marked_at=None).values_list("name", flat=True))


def test_a_model_and_what_was_made_of_it_are_marked(
    version: DataSetVersion, alice: Member, bob: Member, globex: Tenant
) -> None:
    job = a_job(alice)
    of_set = a_model(bob.tenant, "tuned", data_set_versions=[version.pk], made_by_job=job.pk)
    a_model(bob.tenant, "quantised", of_set.pk)
    a_model(bob.tenant, "another")
    a_model(globex, "theirs", data_set_versions=[version.pk])
    assert data_sets.erase(bob.tenant_id, bob.subject_id)["models"] == 2
    assert marked() == {"tuned", "quantised"}
    notices = DataSetNotice.objects.filter(kind="model")
    owners = dict(notices.values_list("name", "subject_id"))
    assert owners == {"tuned@1": alice.subject_id, "quantised@1": None}
    assert Event.objects.filter(action="model_version:mark").count() == 2
    assert data_sets.erase(bob.tenant_id, bob.subject_id)["models"] == 0


def test_a_model_is_marked_though_its_data_set_is_deleted(
    version: DataSetVersion, bob: Member
) -> None:
    a_model(bob.tenant, "tuned", data_set_versions=[version.pk])
    deleting.delete(version.data_set, by=BY)
    future = timezone.now() + timedelta(days=1)
    data_sets.erase_old(bob.tenant_id, future, frozenset())  # the model is there: lineage stays
    data_sets.erase(bob.tenant_id, bob.subject_id)
    assert marked() == {"tuned"}


def test_lineage_goes_with_the_last_model(version: DataSetVersion, bob: Member) -> None:
    deleting.delete(version.data_set, by=BY)
    future = timezone.now() + timedelta(days=1)
    data_sets.erase_old(bob.tenant_id, future, frozenset())
    assert not DataSetVersion.objects.exists()
    assert not DataSet.objects.exists()


def test_a_model_of_a_job_over_files_is_marked_when_their_person_goes(
    alice: Member, bob: Member
) -> None:
    over_files, other = a_job(alice, bob.subject_id), a_job(alice, alice.subject_id)
    a_model(bob.tenant, "of-his-file", made_by_job=over_files.pk)
    a_model(bob.tenant, "of-hers", made_by_job=other.pk)
    jobs.erase_old(bob.tenant_id, timezone.now(), frozenset())  # their retention has ended
    assert data_sets.erase(bob.tenant_id, bob.subject_id)["models"] == 1
    assert marked() == {"of-his-file"}
    assert DataSetNotice.objects.get().subject_id == alice.subject_id


def test_a_model_is_marked_though_whoever_ordered_its_job_was_erased_before(
    alice: Member, bob: Member
) -> None:
    job = a_job(alice, bob.subject_id)
    model = a_model(bob.tenant, "of-his-file", made_by_job=job.pk)
    a_model(bob.tenant, "quantised", model.pk)
    jobs.erase(alice.tenant_id, alice.subject_id)
    assert not marked()
    model.refresh_from_db()
    assert not model.shown_source
    model.delete_files(by=BY)
    data_sets.erase(bob.tenant_id, bob.subject_id)
    assert marked() == {"of-his-file", "quantised"}
