"""Who is erased goes out of every data set, also out of what was made from one."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import orjson
import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from audit.actions import Action
from audit.erasure import deletion, erasers, execution, tombstones
from audit.erasure.erasers import Evidence
from audit.keys import keyring
from audit.models import DataKey, DeletionRequest, DeletionState, ErasureStep, Event
from audit.retention import legal_hold
from audit.retention.legal_hold import OnHold
from inference.data_sets import deleting, prepared, reading, uploading
from inference.data_sets.chunks import RowWriter
from inference.data_sets.storage_limit import VersionGone
from inference.models import (
    ChunkPart,
    DataSet,
    DataSetChunk,
    DataSetFormat,
    DataSetNotice,
    DataSetPerson,
    DataSetState,
    DataSetVersion,
    Job,
    ModelVersion,
)
from inference.personal_data import data_sets, erasure
from tenants.models import Member, Tenant
from tenants.scope import tenant_scope
from tests.inference.data_sets.conftest import BY, chat, imported, jsonl, texts, uploaded
from tests.inference.data_sets.made import a_job, a_model

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(execution, "QUIET", timedelta(0))
    monkeypatch.setattr(erasure, "WATCH_S", 0)
    tombstones.path().unlink(missing_ok=True)
    yield
    tombstones.path().unlink(missing_ok=True)


@pytest.fixture
def version(manual: DataSet, bob: Member) -> DataSetVersion:
    """Two rows of bob, one of somebody else, one of nobody."""
    of_bob = [chat(f"bob's {number}", person=str(bob.subject_id)) for number in (1, 2)]
    others = [chat("another's", person=str(uuid4())), chat("nobody's")]
    return uploaded(manual, jsonl([*of_bob, *others]))


def erase(member: Member) -> Evidence:
    """A deletion request, to its end. Returns what it did to data sets."""
    subject = member.tenant_id, member.subject_id
    deletion.ask(*subject, by="member:1", decides=True)
    execution.work()
    problems = ErasureStep.objects.exclude(problem="").values_list("store", "problem")
    assert list(problems) == []
    assert DeletionRequest.objects.get().state == DeletionState.DONE
    evidence: Evidence = ErasureStep.objects.get(store="data_sets").evidence
    return evidence


def erase_again(member: Member) -> Evidence:
    """As after a restored backup."""
    eraser, subject = erasers.find("data_sets"), (member.tenant_id, member.subject_id)
    assert eraser
    evidence = eraser.erase(*subject)
    assert eraser.verify(*subject) == 0
    return evidence


def made_from(
    parent: DataSetVersion, folder: Path, *, traces: bool, held_out: bool = False
) -> DataSetVersion:
    """What a job makes of the rows, which may lose whose they are."""
    lines = prepared.write_files(parent, folder)[ChunkPart.TRAIN].read_bytes().splitlines(True)
    if not traces:
        lines = [line.replace(b'"person"', b'"source"') for line in lines]
    (folder / "train.jsonl").write_bytes(b"".join(lines[held_out:]))
    (folder / "held_out.jsonl").write_bytes(b"".join(lines[:held_out]))
    samples = {"kept": [{"line": 1, "text": "bob's words"}]}
    (folder / "report.json").write_bytes(orjson.dumps({"kept": 4, "samples": samples}))
    return prepared.register(parent, folder, job_id=uuid4(), by=BY)


def test_rows_of_the_person_go_and_no_others(version: DataSetVersion, bob: Member) -> None:
    assert erase(bob) == {"data_set_versions": 1, "rows": 2, "emptied": 0, "models": 0}
    version.refresh_from_db()
    assert len(texts(version)) == version.rows == 2
    assert (version.state, version.purged_rows) == (DataSetState.READY, 2)
    assert version.stored_bytes == sum(version.chunks.values_list("size", flat=True))
    assert erase_again(bob) == {"data_set_versions": 0, "rows": 0, "emptied": 0, "models": 0}


def test_the_owner_is_told_who_is_not_named(
    version: DataSetVersion, bob: Member, alice: Member
) -> None:
    erase(bob)
    notice = DataSetNotice.objects.get()
    assert (notice.kind, notice.rows, notice.name) == ("purged", 2, "manual@1")
    assert notice.subject_id == alice.subject_id
    event = Event.objects.get(action=Action.DATA_SET_PURGE)
    assert str(bob.subject_id) not in str(event.detail)


def test_a_backup_of_the_rows_cannot_be_read(version: DataSetVersion, bob: Member) -> None:
    rows = list(version.chunks.all())
    erase(bob)
    DataSetChunk.objects.all().delete()
    DataSetChunk.objects.bulk_create(rows)  # as a restored backup brings them back
    assert "bob" not in " ".join(texts(version))
    assert len(texts(version)) == 2
    assert erase_again(bob)["rows"] == 2


def test_what_was_made_from_the_rows_loses_them_too(
    version: DataSetVersion, bob: Member, tmp_path: Path
) -> None:
    child = made_from(version, tmp_path, traces=True, held_out=True)
    assert (child.number, child.parent, child.traces_people) == (2, version, True)
    assert (child.rows, child.held_out_rows) == (3, 1)
    assert child.report["job"] == {"kept": 4}
    read = reading.samples(child, by=BY, reason="a look")
    assert read[-1].text == 'kept: {"line":1,"text":"bob\'s words"}'
    assert erase(bob)["rows"] == 4
    child.refresh_from_db()
    assert child.rows + child.held_out_rows == 2
    read = reading.samples(child, by=BY, reason="a look")
    assert "bob" not in " ".join(texts(child) + texts(child, ChunkPart.HELD_OUT)) + str(read)


def test_what_lost_track_of_its_people_is_emptied(
    version: DataSetVersion, bob: Member, tmp_path: Path
) -> None:
    child = made_from(version, tmp_path, traces=False)
    assert not child.traces_people
    grandchild = made_from(child, tmp_path, traces=False)
    deleting.delete_version(version, by=BY)
    assert erase(bob) == {"data_set_versions": 3, "rows": 0, "emptied": 2, "models": 0}
    for made in (child, grandchild):
        made.refresh_from_db()
        assert (made.state, made.rows, texts(made)) == (DataSetState.EMPTIED, 0, [])
        assert not DataKey.objects.filter(subject_id=made.pk).exists()
    assert [notice.kind for notice in DataSetNotice.objects.all()] == ["emptied", "emptied"]


def test_what_a_legal_hold_of_another_person_keeps_is_out_of_use_until_its_end(
    manual: DataSet, alice: Member, bob: Member, tmp_path: Path
) -> None:
    rows = [chat(f"{one}'s", person=str(one.subject_id)) for one in (alice, bob)]
    parent = uploaded(manual, jsonl(rows))
    lost = made_from(parent, tmp_path, traces=False)
    hold = legal_hold.request(
        alice.tenant_id,
        by="test",
        reason="a court asks",
        expires_at=timezone.now() + timedelta(days=9),
        subject_id=alice.subject_id,
    )
    legal_hold.approve(hold, by="another")
    evidence = erase(bob)
    assert evidence == {"data_set_versions": 2, "rows": 1, "emptied": 0, "models": 0, "held": 1}
    for version in (parent, lost):
        version.refresh_from_db()
    assert (len(texts(parent)), parent.state) == (1, DataSetState.READY)
    assert (len(texts(lost)), lost.state) == (2, DataSetState.HELD)
    assert list(DataSetVersion.objects.ready()) == [parent]
    with pytest.raises(ValidationError):
        reading.samples(lost, by=BY, reason="a look")
    with pytest.raises(ValidationError):
        reading.whole(lost, by=BY, reason="a look")
    assert set(DataSetNotice.objects.values_list("kind", flat=True)) == {"purged", "held"}

    long_ago, held = timezone.now() - timedelta(days=9), frozenset({alice.subject_id})
    assert data_sets.erase_old(bob.tenant_id, long_ago, held) == 0
    legal_hold.release(hold, by="test", reason="it is over")
    assert legal_hold.release(hold, by="another")
    assert data_sets.erase_old(bob.tenant_id, long_ago, frozenset()) == 1
    lost.refresh_from_db()
    assert (texts(lost), lost.state) == ([], DataSetState.EMPTIED)
    assert not DataKey.objects.filter(subject_id=lost.pk).exists()


def test_a_job_that_began_before_the_erasure_brings_nothing_back(
    version: DataSetVersion, bob: Member, tmp_path: Path
) -> None:
    began = timezone.now()
    prepared.write_files(version, tmp_path)
    erase(bob)
    version.refresh_from_db()
    child = prepared.register(version, tmp_path, job_id=uuid4(), by=BY, since=began)
    assert len(texts(child)) == 2

    lines = (tmp_path / "train.jsonl").read_bytes().replace(b'"person"', b'"source"')
    (tmp_path / "train.jsonl").write_bytes(lines)
    lost = prepared.register(version, tmp_path, job_id=uuid4(), by=BY, since=began)
    lost.refresh_from_db()
    assert (lost.state, texts(lost)) == (DataSetState.EMPTIED, [])


def test_rows_of_the_only_person_do_not_come_back_without_the_field_person(
    manual: DataSet, bob: Member, tmp_path: Path
) -> None:
    parent = uploaded(manual, jsonl([chat("bob's secret", person=str(bob.subject_id))]))
    began = timezone.now()
    (tmp_path / "train.jsonl").write_bytes(jsonl([chat("bob's secret")]))
    erase(bob)
    made = prepared.register(parent, tmp_path, job_id=uuid4(), by=BY, since=began)
    made.refresh_from_db()
    assert (made.state, made.rows, texts(made)) == (DataSetState.EMPTIED, 0, [])


def test_rows_of_nobody_stay_where_the_only_person_kept_the_field_person(
    manual: DataSet, bob: Member, tmp_path: Path
) -> None:
    rows = [chat("his", person=str(bob.subject_id)), chat("nobody's")]
    parent = uploaded(manual, jsonl(rows))
    began = timezone.now()
    prepared.write_files(parent, tmp_path)
    erase(bob)
    made = prepared.register(parent, tmp_path, job_id=uuid4(), by=BY, since=began)
    made.refresh_from_db()
    assert (made.state, made.rows, made.traces_people) == (DataSetState.READY, 1, True)


def test_samples_of_a_job_that_began_before_the_erasure_are_not_kept(
    version: DataSetVersion, bob: Member, tmp_path: Path
) -> None:
    """The process may die between the samples and the look for erasures."""
    began, job = timezone.now(), uuid4()
    prepared.write_files(version, tmp_path)
    (tmp_path / "report.json").write_bytes(b'{"samples": {"masked": ["bob\'s secret"]}}')
    erase(bob)
    made = prepared.register(version, tmp_path, job_id=job, by=BY)
    assert made.chunks.filter(part=ChunkPart.SAMPLES).exists()
    assert prepared.register(version, tmp_path, job_id=job, by=BY, since=began) == made
    assert not made.chunks.filter(part=ChunkPart.SAMPLES).exists()


def test_samples_of_rows_that_a_job_left_out_go_too(
    manual: DataSet, alice: Member, bob: Member, tmp_path: Path
) -> None:
    """The new version has none of the person's rows."""
    lines = [chat(f"{one}'s", person=str(one.subject_id)) for one in (alice, bob)]
    parent = uploaded(manual, jsonl(lines))
    (tmp_path / "train.jsonl").write_bytes(jsonl(lines[:1]))
    (tmp_path / "report.json").write_bytes(b'{"samples": {"copies": ["bob\'s secret"]}}')
    made = prepared.register(parent, tmp_path, job_id=uuid4(), by=BY)
    assert made.chunks.filter(part=ChunkPart.SAMPLES).exists()
    assert erase(bob)["rows"] == 1
    assert not made.chunks.filter(part=ChunkPart.SAMPLES).exists()
    assert len(texts(made)) == 1


def test_rows_of_who_is_erased_while_they_are_written_count_in_no_part(
    version: DataSetVersion, bob: Member, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_out = prepared.write_files(version, tmp_path)[ChunkPart.TRAIN]
    held_out.rename(tmp_path / "held_out.jsonl")
    finish = RowWriter.finish

    def finishes(writer: RowWriter) -> None:
        finish(writer)
        keyring.destroy(bob.tenant_id, bob.subject_id)

    monkeypatch.setattr(RowWriter, "finish", finishes)
    made = prepared.register(version, tmp_path, job_id=uuid4(), by=BY)
    assert (made.rows, made.held_out_rows) == (0, 2)
    assert len(texts(made, ChunkPart.HELD_OUT)) == 2


def test_nothing_is_added_to_a_deleted_data_set(
    version: DataSetVersion, manual: DataSet, tmp_path: Path
) -> None:
    prepared.write_files(version, tmp_path)
    deleting.delete(DataSet.objects.get(pk=manual.pk), by=BY)
    with pytest.raises(ValidationError):
        uploading.begin(manual, DataSetFormat.CHATS, by=BY)
    version.refresh_from_db()
    with pytest.raises(VersionGone):
        prepared.register(version, tmp_path, job_id=uuid4(), by=BY)


def test_a_job_that_comes_again_gets_its_version(version: DataSetVersion, tmp_path: Path) -> None:
    prepared.write_files(version, tmp_path)
    job = uuid4()
    first = prepared.register(version, tmp_path, job_id=job, by=BY)
    assert prepared.register(version, tmp_path, job_id=job, by=BY) == first
    assert version.data_set.versions.count() == 2


def test_who_is_erased_before_the_import_does_not_come_in(manual: DataSet, bob: Member) -> None:
    with tenant_scope(manual.tenant_id):
        version = uploading.begin(manual, DataSetFormat.CHATS, by=BY)
        lines = jsonl([chat("his", person=str(bob.subject_id)), chat("nobody's")])
        uploading.add_piece(version, 0, lines)
        uploading.finish(version)
    erase(bob)
    assert texts(imported(version)) == ["user: nobody's\n\nassistant: Behind the dam."]
    assert version.report["left_out"] == {"erased_person": 1}
    assert not DataSetPerson.objects.exists()


def test_a_deleted_version_cannot_be_read_from_a_backup(version: DataSetVersion) -> None:
    rows = list(version.chunks.filter(subject_id=None))
    deleting.delete_version(version, by=BY)
    assert not version.chunks.exists()
    DataSetChunk.objects.bulk_create(rows)
    assert texts(version) == []
    assert version.stored_bytes == 0


def test_a_deleted_data_set_leaves_its_name_and_its_lineage(
    version: DataSetVersion, acme: Tenant, alice: Member, bob: Member
) -> None:
    deleting.delete(version.data_set, by=BY)
    assert not DataSet.objects.present().exists()
    DataSet.create(acme, "manual", alice.subject_id, by=BY)
    assert erase(bob)["data_set_versions"] == 1  # models may have been trained on it


def hold(member: Member | None, tenant: Tenant) -> None:
    legal_hold.request(
        tenant.pk,
        by=BY,
        reason="a case",
        expires_at=timezone.now() + timedelta(days=2),
        subject_id=member.subject_id if member else None,
    )


@pytest.mark.parametrize("whole_tenant", [True, False])
def test_a_legal_hold_keeps_the_rows(
    version: DataSetVersion, bob: Member, whole_tenant: bool
) -> None:
    hold(None if whole_tenant else bob, bob.tenant)
    with pytest.raises(OnHold):
        deleting.delete_version(version, by=BY)
    with pytest.raises(OnHold):
        deleting.delete(version.data_set, by=BY)
    assert len(texts(version)) == 4


def test_their_time_ends_but_not_of_who_is_held(version: DataSetVersion, bob: Member) -> None:
    young = uploaded(version.data_set, jsonl([chat("young")]))
    before = timezone.now() - timedelta(days=30)
    DataSetVersion.objects.filter(pk=version.pk).update(created_at=before - timedelta(days=1))
    subject = frozenset({bob.subject_id})
    assert data_sets.erase_old(version.tenant_id, before, subject) == 0
    assert data_sets.erase_old(version.tenant_id, before, frozenset()) == 1
    assert data_sets.erase_old(version.tenant_id, before, frozenset()) == 0
    assert (texts(version), len(texts(young))) == ([], 1)


def test_their_export_has_their_rows(version: DataSetVersion, bob: Member) -> None:
    rows = list(data_sets.exported(bob.tenant_id, bob.subject_id))
    assert [row["text"].split("\n")[0] for row in rows] == ["user: bob's 1", "user: bob's 2"]
    assert {(row["data_set"], row["version"]) for row in rows} == {("manual", 1)}


def test_models_of_jobs_over_files_of_the_person_are_marked_with_all_made_of_them(
    alice: Member, bob: Member
) -> None:
    """Also those of the person's own job, which goes itself."""
    own, alices = a_job(bob, bob.subject_id), a_job(alice, bob.subject_id)
    for job, name in ((own, "his"), (alices, "hers")):
        tuned = a_model(bob.tenant, name, made_by_job=job.pk)
        a_model(bob.tenant, f"{name}-step-2", made_by_job=job.pk)
        a_model(bob.tenant, f"{name}-q8", tuned.pk)
    a_model(bob.tenant, "another")
    Job.objects.filter(pk=alices.pk).update(result_version_id=tuned.pk)
    assert erase(bob)["models"] == 6
    assert not Job.objects.filter(pk=own.pk).exists()
    unmarked = ModelVersion.objects.filter(marked_at=None)
    assert list(unmarked.values_list("name", flat=True)) == ["another"]
    assert DataSetNotice.objects.filter(kind="model").count() == 6
