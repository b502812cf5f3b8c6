"""Versions of models from a terminal: imported, shown, promoted, rolled back and deleted."""

from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from inference.model_registry.registering import register
from inference.models import Engine, Model, ModelVersion, Pool, VersionKind, VersionState
from tenants.models import OperatorKey, Tenant
from tests.config.command.operating.conftest import Forebay
from tests.inference.model_registry.files import folder

URL = "http://127.0.0.1:9/v1"


@pytest.fixture(autouse=True)
def places(tmp_path: Path, settings: Settings) -> None:
    settings.MODEL_STORE = str(tmp_path / "store")
    settings.MODEL_COPIES = tmp_path / "copies"
    settings.MODEL_FOLDERS = [tmp_path / "models"]
    folder(tmp_path / "models" / "m")


def version(tenant: Tenant | None, tmp_path: Path, name: str = "base") -> ModelVersion:
    owner, where = tenant.pk if tenant else None, tmp_path / "models" / "m"
    return register(tenant_id=owner, name=name, folder=where, kind=VersionKind.BASE)


def test_a_version_is_imported_and_shown(
    forebay: Forebay, key: OperatorKey, tmp_path: Path
) -> None:
    line = "models import small --from folder --path m --licence MIT"
    assert "would be imported" in forebay(f"{line} --dry-run").out
    assert not ModelVersion.objects.exists()
    assert forebay(line) == (0, "version small@1: is being imported\n", "")
    assert "importing" in forebay("models versions").out
    assert "MIT" in forebay("models version small@1").out
    refused = forebay("models import small --from folder --path none")
    assert refused.status == 1
    assert "no folder of FOREBAY_MODELS" in refused.err


def test_a_tenants_version_is_called_with_its_name(
    forebay: Forebay, key: OperatorKey, acme: Tenant, tmp_path: Path
) -> None:
    version(None, tmp_path)
    own = version(acme, tmp_path)
    assert str(own.pk) in forebay("models version acme/base@1").out
    for wrong in ("globex/base@1", "base@2", "base", "", "acme/", "@1"):
        ended = forebay("models version", wrong)
        assert (ended.status, ended.out) == (1, "")


def test_a_version_is_promoted_rolled_back_and_deleted(
    forebay: Forebay, key: OperatorKey, pool: Pool, tmp_path: Path
) -> None:
    base = version(None, tmp_path)
    Engine.add(pool, "gpu-1", by="t", kind="vllm", url=URL)
    line = f"models promote base@1 --engine gpu-1 --url {URL} --keep-old"
    assert "would take the place" in forebay(f"{line} --dry-run").out
    assert forebay(line).out == "version base@1: is loaded as gpu-1.base-1\n"
    assert "gpu-1.base-1" in forebay("models versions").out
    refused = forebay("models delete-version base@1")
    assert refused.status == 1
    assert "in use" in refused.err
    assert forebay("models rollback gpu-1.base-1").status == 1  # it does not serve yet
    replacement = Engine.objects.get(name="gpu-1").replaced_by.get()
    replacement.switch(by="t")
    assert forebay("models rollback gpu-1.base-1").out == "engine gpu-1: serves again\n"
    Engine.objects.update(model_version_id=None)
    assert forebay("models delete-version base@1").out == "version base@1: deleted\n"
    base.refresh_from_db()
    assert base.state == VersionState.DELETED


def test_a_model_is_for_one_tenant(forebay: Forebay, key: OperatorKey, acme: Tenant) -> None:
    assert forebay("models set own --only-for acme").status == 0
    assert Model.objects.get().only_for == acme.pk
    assert "unchanged" in forebay("models set own --only-for acme").out
    assert forebay("models set own --only-for nobody").status == 1
    assert "acme" in forebay("models list").out
