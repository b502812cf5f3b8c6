"""What may serve, what may be deleted, and what is left when a process dies."""

import os
from datetime import timedelta
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import OperationalError, connection
from django.utils import timezone
from pytest_django.fixtures import Settings

from audit.actions import Action
from audit.checks import resume_after_restore
from audit.models import Event
from audit.retention import legal_hold, pruning
from audit.trail.record import act
from inference import tasks
from inference.model_registry import contents, deleting, gates, marking, opening, tidying
from inference.model_registry.evaluation_gates import evaluation_gates
from inference.model_registry.opening import local_copy
from inference.model_registry.promoting import promote
from inference.model_registry.registering import register
from inference.model_registry.storage import store
from inference.models import (
    Engine,
    EvaluationGate,
    Job,
    JobKind,
    JobState,
    Model,
    ModelVersion,
    Pool,
    VersionKind,
    VersionState,
)
from inference.personal_data import model_versions
from infrastructure.objects.content import ContentStore
from infrastructure.objects.place import StoreError
from tenants.models import Tenant
from tests.console.evaluations.reported import reported, task_set
from tests.inference.model_registry.files import folder, gguf

BASE, FULL = VersionKind.BASE, VersionKind.FULL
BY = "test"


@pytest.fixture
def base(db: None, tmp_path: Path) -> ModelVersion:
    file = gguf(tmp_path / "base" / "base.gguf")
    return register(tenant_id=None, name="base", folder=file, kind=BASE)


@pytest.fixture
def engine(db: None) -> Engine:
    pool = Pool.add(Model.add("chat", by=BY), "here", by=BY)
    return Engine.add(pool, "gpu-1", by=BY, kind="llama_cpp", url="http://127.0.0.1:17001")


@pytest.fixture
def of_acme(acme: Tenant, tmp_path: Path) -> ModelVersion:
    return register(tenant_id=acme.pk, name="own", folder=folder(tmp_path / "own"), kind=FULL)


@pytest.fixture
def no_gates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "_gates", {})


# Promotion ---------------------------------------------------------------------------------------
def test_a_version_takes_the_place_of_an_engine(base: ModelVersion, engine: Engine) -> None:
    changes = {"url": "http://127.0.0.1:17002"}
    replacement = promote(base, engine, by=BY, changes=changes, keeps_old=True)
    assert replacement.new
    assert replacement.new.model_version_id == base.pk
    assert replacement.new.options["version"] == "base-1"
    event = Event.objects.get(action=Action.MODEL_VERSION_PROMOTE)
    assert event.detail["engine"] == "gpu-1"


def test_a_report_about_another_tenants_version_opens_no_gate(
    base: ModelVersion, engine: Engine, acme: Tenant, globex: Tenant, tmp_path: Path
) -> None:
    """Names of versions are an owner's: others may have the same."""
    tasks = task_set(globex)
    EvaluationGate.add(
        engine.pool,
        task_set_name=tasks.name,
        sha256=tasks.sha256,
        metric="accuracy",
        bound="absolute",
        limit=0.5,
        by=BY,
    )
    theirs = [
        register(tenant_id=tenant.pk, name="base", folder=folder(tmp_path / tenant.name), kind=FULL)
        for tenant in (acme, globex)
    ]
    assert len({each.label for each in (base, *theirs)}) == 3
    reported(globex, task_set=tasks, version=theirs[1].label, against="")
    changes = {"url": "http://127.0.0.1:17002"}
    for version in (base, theirs[0]):
        Model.objects.update(only_for=version.tenant_id)
        with pytest.raises(ValidationError, match="there is no report about this version"):
            promote(version, Engine.objects.get(), by=BY, changes=changes)
    Model.objects.update(only_for=globex.pk)
    promote(theirs[1], Engine.objects.get(), by=BY, changes=changes)


def test_an_adapters_own_report_opens_the_gate(
    engine: Engine, acme: Tenant, globex: Tenant, tmp_path: Path
) -> None:
    """Reports name it NAME@NUMBER, as requests do."""
    tasks = task_set(acme)
    fields: dict[str, Any] = {"metric": "accuracy", "bound": "absolute", "limit": 0.5, "by": BY}
    EvaluationGate.add(engine.pool, task_set_name=tasks.name, sha256=tasks.sha256, **fields)
    version = register(
        tenant_id=acme.pk, name="tuned", folder=folder(tmp_path / "t"), kind=VersionKind.ADAPTER
    )
    reported(globex, version=str(version), against="")
    assert evaluation_gates(version, engine)
    reported(acme, task_set=tasks, version=str(version), against="")
    assert not evaluation_gates(version, engine)


def test_a_server_of_this_machine_gets_a_copy_of_the_file(
    base: ModelVersion, engine: Engine, settings: Settings, tmp_path: Path
) -> None:
    settings.ENGINE_KEYS_FILE = tmp_path / "engines.key"
    settings.ENGINE_KEYS_FILE.write_text("secret")
    Engine.objects.filter(pk=engine.pk).update(options={"launch": {"model": "old.gguf"}})
    engine.refresh_from_db()
    new = promote(base, engine, by=BY).new
    assert new
    assert new.options["launch"] == {"model": f"registry:{base.pk}/base.gguf"}


def test_a_gate_that_misses_a_report_refuses(
    base: ModelVersion, engine: Engine, no_gates: None
) -> None:
    gates.register("reports", lambda version, engine: [f"{version}: there is no report"])
    with pytest.raises(gates.GateRefused, match="base@1: there is no report") as refusal:
        promote(base, engine, by=BY, changes={"url": "http://127.0.0.1:17002"})
    refusal.value.record()
    event = Event.objects.get(action=Action.MODEL_VERSION_REFUSE)
    assert event.detail["reasons"] == ["base@1: there is no report"]
    assert not engine.replaced_by.exists()


def test_a_tenants_version_serves_in_that_tenants_model_alone(
    of_acme: ModelVersion, engine: Engine, acme: Tenant, globex: Tenant
) -> None:
    changes = {"url": "http://127.0.0.1:17002"}
    for owner in (None, globex.pk):
        Model.objects.update(only_for=owner)
        with pytest.raises(ValidationError, match="tenant's own"):
            promote(of_acme, Engine.objects.get(), by=BY, changes=changes)
    Model.objects.update(only_for=acme.pk)
    assert promote(of_acme, Engine.objects.get(), by=BY, changes=changes).new


def test_adapters_and_unready_versions_do_not_serve(base: ModelVersion, engine: Engine) -> None:
    ModelVersion.objects.update(kind=VersionKind.ADAPTER)
    base.refresh_from_db()
    with pytest.raises(ValidationError, match="serves no requests alone"):
        promote(base, engine, by=BY)
    ModelVersion.objects.update(state=VersionState.IMPORTING)
    base.refresh_from_db()
    with pytest.raises(ValidationError, match="not ready"):
        promote(base, engine, by=BY)


# Deletion ----------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_files_go_with_the_last_version_that_has_them(acme: Tenant, tmp_path: Path) -> None:
    where = folder(tmp_path / "m")
    first, second = (
        register(tenant_id=acme.pk, name="x", folder=where, kind=BASE) for _ in range(2)
    )
    digest = first.files.get(name="model.safetensors").sha256
    deleting.delete(first, by=BY)
    assert store().has(str(acme.pk), digest)
    copy = local_copy(second)
    deleting.delete(second, by=BY)
    assert not store().has(str(acme.pk), digest)
    assert not copy.exists()
    assert not second.files.exists()


def test_what_serves_stays(base: ModelVersion, engine: Engine) -> None:
    promote(base, engine, by=BY, changes={"url": "http://127.0.0.1:17002"})
    with pytest.raises(ValidationError, match=r"It is in use: gpu-1\.base-1\."):
        deleting.delete(base, by=BY)
    base.refresh_from_db()
    assert base.state == VersionState.READY


def a_job(tenant: Tenant, state: JobState, **fields: Any) -> Job:
    people = {"subject_id": uuid4(), "data_key_id": uuid4()}
    return Job.objects.create(tenant=tenant, state=state, kind=JobKind.CONVERT, **people, **fields)


def test_what_an_unfinished_job_stands_on_stays(
    base: ModelVersion, of_acme: ModelVersion, acme: Tenant, globex: Tenant
) -> None:
    adapter = {"adapter": str(of_acme)}
    job = a_job(acme, JobState.PAUSED, base_version_id=base.pk, parameters=adapter)
    a_job(globex, JobState.QUEUED, parameters=adapter)  # another's of the same name
    for version in (base, of_acme):
        with pytest.raises(ValidationError, match=f"It is in use: {job.public_id}"):
            deleting.delete(version, by=BY)
    later = timezone.now() + timedelta(days=1)
    assert model_versions.erase_old(acme.pk, later, frozenset()) == 0
    Job.objects.filter(pk=job.pk).update(state=JobState.CANCELLED)
    deleting.delete(base, by=BY)
    assert model_versions.erase_old(acme.pk, later, frozenset()) == 1


def test_a_hold_of_the_tenant_keeps_its_versions(of_acme: ModelVersion, acme: Tenant) -> None:
    ends = timezone.now() + timedelta(hours=1)
    legal_hold.request(acme.pk, by=BY, reason="court", expires_at=ends, subject_id=uuid4())
    whole = legal_hold.request(acme.pk, by=BY, reason="court", expires_at=ends)
    legal_hold.approve(whole, by="other", person="other")
    with pytest.raises(legal_hold.OnHold):
        deleting.delete(of_acme, by=BY)


def test_a_dead_import_is_given_up(of_acme: ModelVersion, acme: Tenant) -> None:
    old = timezone.now() - tidying.GIVEN_UP
    ModelVersion.objects.update(state=VersionState.IMPORTING, touched_at=old)
    tidying.give_up()
    of_acme.refresh_from_db()
    assert of_acme.state == VersionState.FAILED
    assert not of_acme.files.exists()
    assert list(store().stored(str(acme.pk))) == []


def test_objects_without_a_row_go_after_a_day(
    of_acme: ModelVersion, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_acme.files.filter(name="config.json").delete()
    assert tidying.remove_unknown() == 0
    monkeypatch.setattr(tidying, "UNKNOWN", timedelta(seconds=-1))
    assert tidying.remove_unknown() == 1
    assert len(list(store().stored(str(acme.pk)))) == 2


def test_after_a_restore_objects_without_a_row_stay_for_a_month(
    of_acme: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are of the database that was set aside, or of the platform that this is a copy of."""
    of_acme.files.filter(name="config.json").delete()
    monkeypatch.setattr(tidying, "UNKNOWN", timedelta(seconds=-1))
    act(Action.AUDIT_RESUME, actor=resume_after_restore.BY, detail={})
    assert tidying.remove_unknown() == 0
    monkeypatch.setattr(tidying, "AFTER_RESTORE", timedelta(0))
    assert tidying.remove_unknown() == 1


@pytest.mark.django_db(transaction=True)
def test_an_object_that_a_version_claims_meanwhile_is_there_for_it(
    acme: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process registers a file of nobody, between the look at it and its deletion."""
    where = folder(tmp_path / "own")
    for file in contents.read(where, FULL).files:
        store().put(str(acme.pk), file.sha256, file.path)
    monkeypatch.setattr(tidying, "UNKNOWN", timedelta(seconds=-1))
    delete, made = ContentStore.delete, Queue[ModelVersion]()

    def registers() -> None:
        made.put(register(tenant_id=acme.pk, name="own", folder=where, kind=FULL))
        connection.close()

    other = Thread(target=registers)

    def deletes(self: ContentStore, owner: str, digest: str) -> None:
        if not other.ident:
            other.start()
            other.join(0.5)
        delete(self, owner, digest)

    monkeypatch.setattr(ContentStore, "delete", deletes)
    tidying.remove_unknown()
    version = made.get(timeout=30)
    other.join(30)
    assert version.state == VersionState.READY
    assert local_copy(version).exists()


def test_other_folders_in_the_store_are_left_alone(model_store: Path, db: None) -> None:
    others = [model_store / name / "aa" / "x" for name in ("lost+found", uuid4().hex)]
    for path in others:
        path.parent.mkdir(parents=True)
        path.write_text("x")
    tidying.tidy()
    assert all(path.exists() for path in others)


def test_old_versions_go_with_their_retention_unless_they_serve(
    of_acme: ModelVersion, acme: Tenant, engine: Engine, tmp_path: Path
) -> None:
    served = register(tenant_id=acme.pk, name="served", folder=folder(tmp_path / "s"), kind=FULL)
    Engine.objects.update(model_version_id=served.pk)
    later = timezone.now() + timedelta(days=1)
    assert model_versions.erase_old(acme.pk, later, frozenset()) == 1
    of_acme.refresh_from_db()
    assert of_acme.state == VersionState.DELETED
    assert not of_acme.files.exists()
    assert model_versions.erase_old(acme.pk, later, frozenset()) == 1  # its row
    assert list(ModelVersion.objects.of(acme.pk)) == [served]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("fails", ["the store", "the commit"])
def test_no_version_is_left_without_its_files_by_a_night_that_fails(
    acme: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    for name in ("first", "second"):
        register(tenant_id=acme.pk, name=name, folder=folder(tmp_path / name), kind=FULL)
    ModelVersion.objects.update(created_at=timezone.now() - timedelta(days=2000))
    delete, calls = ContentStore.delete, list[str]()

    def deletes_one(content: ContentStore, owner: str, digest: str) -> None:
        calls.append(digest)
        if fails == "the store" and len(calls) > 1:
            raise StoreError("the store is away")
        delete(content, owner, digest)

    def refuses(*_args: Any, **_more: Any) -> None:
        raise OperationalError("the connection is lost")

    monkeypatch.setattr(ContentStore, "delete", deletes_one)
    if fails == "the commit":
        monkeypatch.setattr(pruning, "_record", refuses)
    pruning.prune()
    for version in ModelVersion.objects.of(acme.pk).present():
        digests = version.files.values_list("sha256", flat=True)
        assert all(store().has(version.owner, digest) for digest in digests)


# Copies and marks --------------------------------------------------------------------------------
@pytest.fixture
def old_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "RECENT_S", -1)


def test_copies_that_nobody_uses_make_room(
    base: ModelVersion, of_acme: ModelVersion, settings: Settings, old_copies: None
) -> None:
    first = local_copy(base)
    settings.MODEL_COPIES_BYTES = of_acme.size
    assert local_copy(of_acme).exists()
    assert not first.exists()


@pytest.mark.parametrize("by", ["tidying", "the next copy"])
def test_copies_that_a_killed_process_began_go(base: ModelVersion, by: str) -> None:
    draft = settings.MODEL_COPIES / f"{uuid4()}.part"
    draft.mkdir(parents=True)
    (draft / "model.safetensors").write_bytes(b"x")
    if by == "tidying":
        tidying.tidy()
    else:
        local_copy(base)
    assert not draft.exists()


def test_a_copy_of_what_was_deleted_elsewhere_goes_as_a_worker_starts(
    base: ModelVersion, of_acme: ModelVersion, settings: Settings, tmp_path: Path
) -> None:
    settings.JOB_FOLDER = tmp_path / "jobs"
    gone, stays = local_copy(of_acme), local_copy(base)
    of_acme.delete_files(by=BY)
    tasks._tidy_host()
    assert (gone.exists(), stays.exists()) == (False, True)


def test_copies_that_are_held_stay(
    base: ModelVersion, of_acme: ModelVersion, settings: Settings, old_copies: None
) -> None:
    first = local_copy(base)
    settings.MODEL_COPIES_BYTES = of_acme.size
    held = opening.hold(first)
    with pytest.raises(opening.NoRoom):
        local_copy(of_acme)
    assert first.exists()
    os.close(held)
    assert local_copy(of_acme).exists()
    assert not first.exists()


def test_copies_that_serve_stay(
    base: ModelVersion,
    of_acme: ModelVersion,
    engine: Engine,
    settings: Settings,
    old_copies: None,
) -> None:
    first = local_copy(base)
    Engine.objects.update(model_version_id=base.pk)
    settings.MODEL_COPIES_BYTES = of_acme.size
    with pytest.raises(opening.NoRoom):
        local_copy(of_acme)
    assert first.exists()


def test_a_mark_reaches_what_was_made_from_a_version(acme: Tenant, tmp_path: Path) -> None:
    data = uuid4()
    trained = register(
        tenant_id=acme.pk,
        name="x",
        folder=folder(tmp_path / "m"),
        kind=FULL,
        data_set_versions=[data],
    )
    quantised = register(
        tenant_id=acme.pk,
        name="x-q8",
        folder=gguf(tmp_path / "q.gguf"),
        kind=VersionKind.QUANTISED,
        parents=[trained.pk],
    )
    other = register(tenant_id=acme.pk, name="y", folder=folder(tmp_path / "m"), kind=FULL)
    marked = marking.mark_trained_on(acme.pk, [data], "a person was erased", by=BY)
    assert {version.pk for version in marked} == {trained.pk, quantised.pk}
    assert marking.mark_trained_on(acme.pk, [data], "another", by=BY) == []
    trained.refresh_from_db()
    other.refresh_from_db()
    assert trained.marked_reason == "a person was erased"
    assert other.marked_at is None


def test_what_is_made_of_a_marked_version_later_has_its_mark(acme: Tenant, tmp_path: Path) -> None:
    trained = register(tenant_id=acme.pk, name="t", folder=folder(tmp_path / "t"), kind=FULL)
    marking.mark([trained.pk], "a person was erased", by=BY)
    made = register(
        tenant_id=acme.pk,
        name="q",
        folder=folder(tmp_path / "q"),
        kind=VersionKind.QUANTISED,
        parents=[trained.pk],
    )
    made.refresh_from_db()
    assert made.marked_reason == "a person was erased"
    other = register(tenant_id=acme.pk, name="o", folder=folder(tmp_path / "o"), kind=FULL)
    assert other.marked_at is None
