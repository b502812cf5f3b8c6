"""Folders become versions: their files in the store, signed, within the tenant's bound."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from django.core.exceptions import ValidationError
from pytest_django.fixtures import Settings

from audit.actions import Action
from audit.models import Event
from inference.model_registry import manifest, opening
from inference.model_registry.headers.header import BadFile
from inference.model_registry.opening import NotThere, local_copy
from inference.model_registry.registering import register
from inference.model_registry.room import RegistryFull
from inference.models import ModelFile, ModelVersion, VersionKind, VersionState
from tenants.models import Tenant
from tests.inference.model_registry.files import folder, gguf, safetensors

BASE, FULL = VersionKind.BASE, VersionKind.FULL


def test_a_folder_becomes_a_version(acme: Tenant, tmp_path: Path) -> None:
    version = register(
        tenant_id=acme.pk, name="answers", folder=folder(tmp_path / "m"), kind=BASE, licence="MIT"
    )
    version.refresh_from_db()
    assert (version.number, version.state, version.format) == (1, VersionState.READY, "safetensors")
    assert (version.dtype, version.parameters, version.licence) == ("F32", 6, "MIT")
    assert version.card == "# A model\n\nFor tests."
    assert version.size == sum(file.size for file in version.files.all())
    assert [file.name for file in version.files.all()] == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    manifest.check(version)


def test_a_file_of_gguf_says_what_it_is(acme: Tenant, tmp_path: Path) -> None:
    file = gguf(tmp_path / "m.gguf", general__license="apache-2.0", llama__context_length=2048)
    version = register(tenant_id=acme.pk, name="small", folder=file, kind=BASE)
    assert (version.format, version.dtype, version.architecture) == ("gguf", "F32", "llama")
    assert (version.licence, version.context_length, version.parameters) == ("apache-2.0", 2048, 64)


def test_what_no_row_can_hold_is_cut_from_what_files_say(acme: Tenant, tmp_path: Path) -> None:
    path = tmp_path / "m" / "m.gguf"
    file = gguf(path, llama__context_length=2**64 - 1, general__license="m\0it")
    (file.parent / "README.md").write_text("# A\0 model")
    version = register(tenant_id=acme.pk, name="m", folder=file.parent, kind=VersionKind.BASE)
    assert (version.licence, version.card) == ("mit", "# A model")
    assert version.context_length == 2**63 - 1
    assert version.state == VersionState.READY


def test_the_next_version_of_a_name_has_the_next_number(acme: Tenant, tmp_path: Path) -> None:
    base = register(tenant_id=None, name="base", folder=folder(tmp_path / "b"), kind=BASE)
    for number in (1, 2):
        version = register(
            tenant_id=acme.pk,
            name="answers",
            folder=folder(tmp_path / str(number), fill=b"%d" % number),
            kind=FULL,
            parents=[base.pk],
            data_set_versions=[uuid4()],
        )
        assert version.number == number
    assert list(version.parents.all()) == [base]
    assert base.number == 1


def test_every_step_is_on_record(acme: Tenant, tmp_path: Path) -> None:
    register(tenant_id=acme.pk, name="answers", folder=folder(tmp_path / "m"), kind=BASE, by="t")
    events = Event.objects.filter(tenant_id=acme.pk, actor="t").order_by("id")
    assert [event.action for event in events] == [
        Action.MODEL_VERSION_IMPORT,
        Action.MODEL_VERSION_READY,
    ]


def test_a_job_that_registers_again_gets_the_same_version(acme: Tenant, tmp_path: Path) -> None:
    def registered(fill: bytes) -> ModelVersion:
        where = folder(tmp_path / fill.hex(), fill=fill)
        return register(tenant_id=acme.pk, name="answers", folder=where, kind=FULL, made_by_job=job)

    job = uuid4()
    first = registered(b"\1")
    assert registered(b"\1").pk == first.pk
    assert registered(b"\2").pk != first.pk  # another checkpoint


def test_another_tenants_version_is_no_parent(acme: Tenant, globex: Tenant, tmp_path: Path) -> None:
    theirs = register(tenant_id=globex.pk, name="x", folder=folder(tmp_path / "m"), kind=BASE)
    for parent in (theirs.pk, uuid4()):
        with pytest.raises(ValidationError, match="no such version"):
            register(
                tenant_id=acme.pk,
                name="x",
                folder=folder(tmp_path / "n"),
                kind=FULL,
                parents=[parent],
            )
    assert not ModelVersion.objects.of(acme.pk).exists()


def test_equal_files_count_once_in_the_bound(
    acme: Tenant, tmp_path: Path, settings: Settings
) -> None:
    where = folder(tmp_path / "m")
    size = sum(path.stat().st_size for path in where.iterdir())
    settings.TENANT_MODELS_BYTES = size + 10
    for _ in range(3):
        register(tenant_id=acme.pk, name="x", folder=where, kind=BASE)
    (where / "README.md").write_text("12345678901")
    with pytest.raises(RegistryFull) as refusal:
        register(tenant_id=acme.pk, name="x", folder=where, kind=BASE)
    assert refusal.value.stored == size
    assert ModelVersion.objects.of(acme.pk).count() == 3


def test_equal_files_of_two_tenants_are_stored_twice(
    acme: Tenant, globex: Tenant, tmp_path: Path, model_store: Path
) -> None:
    """A tenant could tell by time or by its bound that another has a file."""
    for tenant in (acme, globex):
        register(tenant_id=tenant.pk, name="x", folder=folder(tmp_path / "m"), kind=BASE)
    stored = [path for path in model_store.rglob("*") if path.is_file()]
    assert len(stored) == 6
    assert {path.relative_to(model_store).parts[0] for path in stored} == {
        str(acme.pk),
        str(globex.pk),
    }


def test_a_store_that_is_full_fails_the_version(
    acme: Tenant, tmp_path: Path, settings: Settings
) -> None:
    (tmp_path / "blocked").write_text("")
    settings.MODEL_STORE = str(tmp_path / "blocked" / "store")
    with pytest.raises(Exception, match="no folder or bucket"):
        register(tenant_id=acme.pk, name="x", folder=folder(tmp_path / "m"), kind=BASE)
    version = ModelVersion.objects.get()
    assert (version.state, version.problem) == ("failed", "its files could not be stored")


def test_an_adapter_may_stand_there_for_both_engines(acme: Tenant, tmp_path: Path) -> None:
    safetensors(tmp_path / "m" / "adapter" / "adapter_model.safetensors")
    gguf(tmp_path / "m" / "adapter.gguf", general__type="adapter")
    with pytest.raises(BadFile, match="register them apart"):
        register(tenant_id=acme.pk, name="x", folder=tmp_path / "m", kind=FULL)
    kind = VersionKind.ADAPTER
    version = register(tenant_id=acme.pk, name="x", folder=tmp_path / "m", kind=kind)
    assert (version.format, version.parameters) == ("safetensors", 6)


# Copies on a host --------------------------------------------------------------------------------
def test_a_copy_has_the_files_and_stays(acme: Tenant, tmp_path: Path) -> None:
    source = folder(tmp_path / "m")
    version = register(tenant_id=acme.pk, name="x", folder=source, kind=BASE)
    copy = local_copy(version)
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == {
        path.name: path.read_bytes() for path in source.iterdir()
    }
    inode = (copy / "config.json").stat().st_ino
    assert (local_copy(version) / "config.json").stat().st_ino == inode


def test_a_list_of_files_that_nobody_signed_is_not_opened(acme: Tenant, tmp_path: Path) -> None:
    version = register(tenant_id=acme.pk, name="x", folder=folder(tmp_path / "m"), kind=BASE)
    other = ModelFile.objects.get(version=version, name="config.json")
    ModelFile.objects.filter(version=version, name="README.md").update(sha256=other.sha256)
    with pytest.raises(manifest.Tampered):
        local_copy(version)


def test_bytes_that_were_changed_in_the_store_are_not_opened(
    acme: Tenant, tmp_path: Path, model_store: Path
) -> None:
    version = register(tenant_id=acme.pk, name="x", folder=folder(tmp_path / "m"), kind=BASE)
    digest = version.files.get(name="model.safetensors").sha256
    stored = next(model_store.rglob(digest))
    stored.write_bytes(stored.read_bytes()[:-1] + b"?")
    with pytest.raises(Exception, match="is damaged"):
        local_copy(version)


def test_a_version_that_is_not_ready_has_no_copy(acme: Tenant, tmp_path: Path) -> None:
    version = register(tenant_id=acme.pk, name="x", folder=folder(tmp_path / "m"), kind=BASE)
    version.delete_files(by="t")
    with pytest.raises(NotThere):
        local_copy(version)


def test_only_copies_of_deleted_versions_are_removed(
    acme: Tenant, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = register(tenant_id=acme.pk, name="x", folder=folder(tmp_path / "m"), kind=BASE)
    copies = [local_copy(gone)]
    gone.delete_files(by="t")
    of_the_disk = settings.MODEL_COPIES / "lost+found"  # its folder is a disk of its own
    of_the_disk.mkdir()
    listed = opening._copies

    def late() -> Iterator[Path]:
        monkeypatch.setattr(opening, "_copies", listed)
        fresh = register(tenant_id=acme.pk, name="y", folder=folder(tmp_path / "n"), kind=BASE)
        copies.append(local_copy(fresh))
        return listed()

    monkeypatch.setattr(opening, "_copies", late)
    opening.remove_stale()
    assert [path.exists() for path in (*copies, of_the_disk)] == [False, True, True]
