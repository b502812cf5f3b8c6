"""The files of a version, from where engines load them."""

from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from inference.adapters import files
from inference.model_registry.registering import register
from inference.models import ModelVersion, VersionKind
from tenants.models import Tenant
from tests.inference.jobs.scripted_trainer import write_adapter
from tests.inference.model_registry.files import gguf

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(acme: Tenant, tmp_path: Path, settings: Settings) -> ModelVersion:
    """One with both formats: a GGUF, and two files of peft's."""
    settings.MODEL_STORE, settings.MODEL_COPIES = str(tmp_path / "store"), tmp_path / "copies"
    settings.ADAPTERS_FOLDER = tmp_path / "adapters"
    made = tmp_path / "made"
    write_adapter(made, 1)
    gguf(made / "adapter.gguf")
    return register(tenant_id=acme.pk, name="a", folder=made, kind=VersionKind.ADAPTER)


def placed(version: ModelVersion, folder: Path) -> set[str]:
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name.replace(str(version.pk), "V") for name in names}


BOTH = {"V.gguf", "V/adapter_config.json", "V/adapter_model.safetensors"}


@pytest.mark.parametrize("copies", [0, 1, 2])
def test_what_a_killed_process_left_undone_is_done_by_the_next(
    version: ModelVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copies: int
) -> None:
    """It is killed in the middle of a file, after so many whole ones."""
    whole: list[Path] = []
    copy = files._copy

    def dies(source: Path, target: Path) -> None:
        if len(whole) == copies:
            target.write_bytes(b"half")
            raise KeyboardInterrupt
        copy(source, target)
        whole.append(target)

    with monkeypatch.context() as patch:
        patch.setattr(files, "_copy", dies)
        with pytest.raises(KeyboardInterrupt):
            files.place(version)
    assert files.place(version) == "gguf peft"
    assert placed(version, tmp_path / "adapters") == BOTH


def test_a_format_that_is_missing_comes_beside_the_other(
    version: ModelVersion, tmp_path: Path
) -> None:
    files.place(version)
    (tmp_path / "adapters" / f"{version.pk}.gguf").unlink()
    assert files.place(version) == "gguf peft"
    assert placed(version, tmp_path / "adapters") == BOTH
    files.remove(version.pk)
    assert placed(version, tmp_path / "adapters") == set()


def test_a_version_has_the_formats_of_its_files(
    acme: Tenant, version: ModelVersion, tmp_path: Path
) -> None:
    converted = tmp_path / "converted" / "adapter.gguf"
    gguf(converted)
    of_one = register(tenant_id=acme.pk, name="b", folder=converted, kind=VersionKind.ADAPTER)
    assert files.place(of_one) == "gguf"
    assert placed(of_one, tmp_path / "adapters") == {"V.gguf"}
