"""`manage.py register_model`: a model of this host in the registry."""

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from audit.models import Event
from inference.models import ModelVersion, VersionKind
from tests.inference.adapters import lora_file

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def model(settings: Settings, tmp_path: Path) -> Path:
    """The file of the embedded engine."""
    settings.MODEL_STORE, settings.MODEL_COPIES = str(tmp_path / "store"), tmp_path / "copies"
    file = lora_file.write(tmp_path / "small.gguf", 1)
    settings.MODEL_FOLDERS = [tmp_path / "models", file]
    return file


def test_the_embedded_model_is_registered_for_every_tenant(model: Path) -> None:
    printed = StringIO()
    call_command("register_model", "small", "--licence", "mit", "--json", stdout=printed)
    version = ModelVersion.objects.get()
    assert json.loads(printed.getvalue()) == {
        "version": "small@1",
        "id": str(version.pk),
        "format": "gguf",
        "parameters": version.parameters,
        "bytes": model.stat().st_size,
        "licence": "mit",
    }
    assert (version.tenant_id, version.kind) == (None, VersionKind.BASE)
    event = Event.objects.get(action="model_version:import")
    assert event.actor == "command:register_model"


def test_a_folder_is_registered_by_its_path(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    model.rename(folder / "weights.gguf")
    call_command("register_model", "other", str(folder), stdout=StringIO())
    assert str(ModelVersion.objects.get()) == "other@1"


def test_what_is_no_model_is_refused_with_the_reason(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "weights.bin").write_bytes(b"\x80\x04")
    with pytest.raises(CommandError, match="cannot be registered"):
        call_command("register_model", "bad", str(tmp_path / "weights.bin"))
    settings.MODEL_FOLDERS = []
    with pytest.raises(CommandError, match="there is no embedded model"):
        call_command("register_model", "bad")
