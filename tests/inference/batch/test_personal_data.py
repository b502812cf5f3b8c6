"""Files and batches of a person: gone with their erasure and their time, told in their export."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from audit.erasure import deletion, erasers, execution
from audit.keys.keyring import Unreadable, keyring
from audit.models import DeletionMode, DeletionRequest
from audit.retention import data_classes
from inference.batch import actions, encryption, file_store, results
from inference.models import (
    Batch,
    BatchLine,
    BatchState,
    File,
    FileChunk,
    FilePurpose,
    Job,
    JobKind,
    JobState,
)
from inference.personal_data import files
from tenants.models import ApiKey, Tenant
from tenants.scope import tenant_scope
from tests.inference.batch.conftest import CHAT, Shop, in_database, jsonl, line

pytestmark = pytest.mark.django_db(transaction=True)
FOREBAY = "引水池 the forebay "


def owner(key: ApiKey) -> file_store.FileOwner:
    return file_store.FileOwner(key.tenant_id, key.subject_id, key.pk, key.actor)


def a_file(key: ApiKey, content: bytes = b"x", purpose: FilePurpose = FilePurpose.BATCH) -> File:
    writer = file_store.FileWriter(owner(key), purpose, "mine.jsonl")
    writer.write(content)
    return writer.finish()


def a_batch(key: ApiKey) -> Batch:
    file = a_file(key, jsonl([line(1)]))
    with tenant_scope(key.tenant_id):
        batch = actions.create(owner(key), file, CHAT, {"for": "them"})
    BatchLine.objects.create(tenant_id=key.tenant_id, batch=batch, number=1, offset=0, length=9)
    return batch


@pytest.fixture
def mine(acme: Tenant) -> ApiKey:
    return ApiKey.issue(acme, "mine", by="test")[0]


@pytest.fixture
def theirs(acme: Tenant) -> ApiKey:
    return ApiKey.issue(acme, "theirs", by="test")[0]


def whose() -> set[UUID]:
    return {*File.objects.values_list("subject_id", flat=True)} | {
        *Batch.objects.values_list("subject_id", flat=True)
    }


def test_an_erasure_takes_them_and_nobody_elses(mine: ApiKey, theirs: ApiKey) -> None:
    for key in (mine, theirs):
        a_batch(key)
        a_file(key, purpose=FilePurpose.BATCH_OUTPUT)
    eraser, subject = erasers.find("files"), (mine.tenant_id, mine.subject_id)
    assert eraser
    assert eraser.verify(*subject) == 6
    assert eraser.erase(*subject) == {"batches": 1, "files": 2}
    assert eraser.verify(*subject) == 0
    assert eraser.erase(*subject) == {"batches": 0, "files": 0}
    assert whose() == {theirs.subject_id}
    assert (FileChunk.objects.count(), BatchLine.objects.count()) == (2, 1)


def test_without_its_key_nothing_of_it_is_read(
    mine: ApiKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = a_batch(mine)
    file = File.objects.get()

    def gone(_key_id: UUID) -> None:
        raise Unreadable("the key has been destroyed")

    monkeypatch.setattr(keyring, "by_id_now", gone)
    for read in (lambda: encryption.name_of(file), lambda: encryption.metadata_of(batch)):
        with pytest.raises(Unreadable):
            read()
    with pytest.raises(Unreadable):
        file_store.FileReader(file)
    (row,) = files.files(mine.tenant_id, mine.subject_id)
    assert (row["name"], row["text"]) == ("", "")


def test_their_time_ends(mine: ApiKey, theirs: ApiKey) -> None:
    """Not of what runs, nor of who is spared."""
    running, over, spared = a_batch(mine), a_batch(mine), a_batch(theirs)
    Batch.objects.exclude(pk=running.pk).update(state=BatchState.COMPLETED)
    long_ago, before = timezone.now() - timedelta(days=90), timezone.now() - timedelta(days=60)
    for table in (File, Batch):
        table.objects.update(created_at=long_ago)
    young = a_file(mine)
    assert files.erase_old(mine.tenant_id, before, frozenset({theirs.subject_id})) == 2
    assert {batch.pk for batch in Batch.objects.all()} == {running.pk, spared.pk}
    kept = {young.pk, running.input_file_id, spared.input_file_id}
    assert {file.pk for file in File.objects.all()} == kept
    assert not Batch.objects.filter(pk=over.pk).exists()


def test_their_time_ends_some_at_a_time(mine: ApiKey, monkeypatch: pytest.MonkeyPatch) -> None:
    assert data_classes.of("files").step == files.ROWS
    monkeypatch.setattr(files, "ROWS", 2)
    for _number in range(3):
        a_file(mine)
    later = timezone.now() + timedelta(days=1)
    erased = [files.erase_old(mine.tenant_id, later, frozenset()) for _number in range(3)]
    assert erased == [2, 1, 0]


@pytest.mark.parametrize("has_run", [False, True])
async def test_a_batch_waits_until_a_restriction_is_lifted(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, has_run: bool
) -> None:
    """The lines that ran are billed, so their answers are not lost."""
    batch, write = await shop.begin([line(1), line(2)]), results.write

    def restricted_first(batch_id: UUID) -> bool:
        monkeypatch.setattr(results, "write", write)
        restrict(shop.key)
        return write(batch_id)

    if has_run:
        monkeypatch.setattr(results, "write", restricted_first)
    else:
        await in_database(restrict)(shop.key)
    await shop.drive()
    row = await in_database(Batch.objects.get)()
    assert (row.is_over, row.leased_until) == (False, None)
    assert row.due_at
    assert row.due_at > timezone.now()
    request = await in_database(DeletionRequest.objects.get)()
    await in_database(deletion.lift)(request, by="member:2", answer="settled")
    await in_database(Batch.objects.update)(due_at=timezone.now())
    ended = await shop.done(batch)
    assert (ended["status"], ended["request_counts"]["completed"]) == ("completed", 2)
    assert len(await shop.lines(ended["output_file_id"])) == 2


def restrict(key: ApiKey) -> None:
    subject = key.tenant_id, key.subject_id
    deletion.ask(*subject, by="member:1", decides=True, mode=DeletionMode.RESTRICT)
    execution.work()
    keyring.close()


def a_job(key: ApiKey, state: JobState, training: File, validation: File | None = None) -> Job:
    return Job.objects.create(
        tenant=key.tenant,
        subject_id=key.subject_id,
        data_key_id=uuid4(),
        actor=key.actor,
        kind=JobKind.FINE_TUNE,
        state=state,
        training_file_id=training.pk,
        validation_file_id=validation.pk if validation else None,
    )


def test_files_that_an_unfinished_job_reads_outlast_their_time(mine: ApiKey) -> None:
    training, validation, others = (a_file(mine, purpose=FilePurpose.FINE_TUNE) for _ in range(3))
    a_job(mine, JobState.PAUSED, training, validation)
    a_job(mine, JobState.QUEUED, training)
    a_job(mine, JobState.FAILED, others)
    later = timezone.now() + timedelta(days=1)
    assert files.erase_old(mine.tenant_id, later, frozenset()) == 1
    assert set(File.objects.all()) == {training, validation}
    Job.objects.update(state=JobState.CANCELLED)
    assert files.erase_old(mine.tenant_id, later, frozenset()) == 2


def test_their_export_tells_them(mine: ApiKey, theirs: ApiKey) -> None:
    text = FOREBAY * 100_000  # a character of three bytes lies across two pieces
    a_file(mine, text.encode())
    batch = a_batch(mine)
    a_batch(theirs)
    parts = list(files.files(mine.tenant_id, mine.subject_id))
    assert [part["part"] for part in parts] == [0, 1, 2, 0]
    assert "".join(part["text"] for part in parts[:3]) == text
    assert {part["name"] for part in parts} == {"mine.jsonl"}
    (row,) = files.batches(mine.tenant_id, mine.subject_id)
    assert (row["id"], row["metadata"]) == (batch.public_id, {"for": "them"})
