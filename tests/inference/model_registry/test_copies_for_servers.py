"""The driver of a promotion brings the files to the machine before it waits for the server."""

from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from inference.model_registry.promoting import promote
from inference.model_registry.registering import register
from inference.models import Engine, Model, Pool, Replacement, VersionKind
from inference.models.replacement import Step
from inference.replacing.driving import drive_all
from tests.inference.model_registry.files import gguf

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow(seconds=20)]
BY = "test"


@pytest.fixture
def promotion(tmp_path: Path, settings: Settings) -> Replacement:
    settings.ENGINE_KEYS_FILE = tmp_path / "engines.key"
    settings.ENGINE_KEYS_FILE.write_text("secret")
    file = gguf(tmp_path / "base.gguf")
    base = register(tenant_id=None, name="base", folder=file, kind=VersionKind.BASE)
    pool = Pool.add(Model.add("copied", by=BY), "copied", by=BY)
    url, options = "http://127.0.0.1:17001", {"launch": {"model": "old.gguf"}}
    engine = Engine.add(pool, "old", by=BY, kind="llama_cpp", url=url, options=options)
    return promote(base, engine, by=BY, load_within_s=2)


def driven(promotion: Replacement) -> Replacement:
    for thread in drive_all():
        thread.join(300)
    promotion.refresh_from_db()
    return promotion


def test_the_copy_is_there_though_no_server_comes(
    promotion: Replacement, settings: Settings
) -> None:
    assert promotion.new
    version = promotion.new.model_version_id
    after = driven(promotion)
    assert (settings.MODEL_COPIES / str(version) / "base.gguf").exists()
    assert (after.step, "not ready within 2 s" in after.reason) == (Step.FAILED, True)


def test_a_version_whose_bytes_changed_is_not_served(
    promotion: Replacement, settings: Settings
) -> None:
    (stored,) = (path for path in Path(settings.MODEL_STORE).rglob("*") if path.is_file())
    stored.write_bytes(stored.read_bytes()[:-1] + b"?")
    after = driven(promotion)
    assert after.step == Step.FAILED
    assert after.reason == "its files cannot be brought here: Damaged"
    assert not Engine.objects.filter(staged=True).exists()
