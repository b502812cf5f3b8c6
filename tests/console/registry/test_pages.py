"""Versions of models in the console: seen, imported, deleted; promoted by operators."""

from pathlib import Path
from uuid import uuid4

import pytest
from pytest_django.fixtures import Settings

from audit.models import Event
from inference.model_registry import gates
from inference.model_registry.registering import register
from inference.models import Engine, Model, ModelVersion, Pool, VersionKind, VersionState
from tenants.models import Member, Tenant, User
from tests.console.conftest import SignIn
from tests.inference.model_registry.files import folder

pytestmark = pytest.mark.django_db
LIST, ALL = "/console/t/acme/versions/", "/console/versions/"
SENT = {
    "name": "small",
    "kind": "base",
    "type": "https",
    "url": "https://models.example.com/m.gguf",
    "sha256": "0" * 64,
}


@pytest.fixture(autouse=True)
def places(tmp_path: Path, settings: Settings) -> None:
    settings.MODEL_STORE = str(tmp_path / "store")
    settings.MODEL_COPIES = tmp_path / "copies"
    settings.MODEL_HOSTS = ["models.example.com"]


def version(tenant: Tenant | None, tmp_path: Path, name: str = "own") -> ModelVersion:
    where, owner = folder(tmp_path / uuid4().hex), tenant.pk if tenant else None
    return register(tenant_id=owner, name=name, folder=where, kind=VersionKind.FULL)


@pytest.fixture
def engine(db: None) -> Engine:
    pool = Pool.add(Model.add("chat", by="t"), "here", by="t")
    return Engine.add(pool, "gpu-1", by="t", kind="vllm", url="http://127.0.0.1:17001/v1")


def test_bob_sees_versions_with_their_lineage(
    bob: Member, globex: Tenant, sign_in: SignIn, tmp_path: Path
) -> None:
    base = version(None, tmp_path, "base")
    own = version(bob.tenant, tmp_path)
    own.parents.add(base, through_defaults={"tenant": bob.tenant})
    version(globex, tmp_path, "theirs")
    client = sign_in(bob)
    page = client.get(LIST).content.decode()
    assert "own@1" in page
    assert "base@1" in page
    assert "theirs" not in page
    page = client.get(f"{LIST}{own.pk}/").content.decode()
    for text in ("base@1", "model.safetensors", "Made from", "F32"):
        assert text in page
    assert "Became" in client.get(f"{LIST}{base.pk}/").content.decode()


def test_charlie_sees_nothing_of_it(
    acme: Tenant, charlie: Member, sign_in: SignIn, tmp_path: Path
) -> None:
    own, client = version(acme, tmp_path, "secret-name"), sign_in(charlie)
    inside = "/console/t/globex/versions/"
    assert "secret-name" not in client.get(inside).content.decode()
    assert "secret-name" not in client.get(f"{inside}import/").content.decode()
    for path in (f"{inside}{own.pk}/", f"{LIST}{own.pk}/", LIST, f"{ALL}{own.pk}/", ALL):
        assert client.get(path).status_code in (403, 404)
    for path in (f"{inside}{own.pk}/removal/", f"{LIST}{own.pk}/removal/"):
        assert client.post(path).status_code == 404
    own.refresh_from_db()
    assert own.state == VersionState.READY


def test_the_descendants_of_a_base_are_those_of_ones_own_tenant(
    bob: Member, globex: Tenant, sign_in: SignIn, tmp_path: Path
) -> None:
    base = version(None, tmp_path, "base")
    theirs = version(globex, tmp_path, "theirs")
    theirs.parents.add(base, through_defaults={"tenant": globex})
    assert "theirs" not in sign_in(bob).get(f"{LIST}{base.pk}/").content.decode()


def test_bob_imports_and_deletes(bob: Member, sign_in: SignIn, tmp_path: Path) -> None:
    client = sign_in(bob)
    answer = client.post(f"{LIST}import/", SENT)
    row = ModelVersion.objects.get()
    assert answer.headers["Location"] == f"{LIST}{row.pk}/"
    assert (row.state, row.tenant) == (VersionState.IMPORTING, bob.tenant)
    assert "importing" in client.get(f"{LIST}{row.pk}/").content.decode()
    client.post(f"{LIST}{row.pk}/removal/")
    row.refresh_from_db()
    assert row.state == VersionState.DELETED
    assert "No version yet" in client.get(LIST).content.decode()


def test_a_form_says_what_is_wrong(bob: Member, sign_in: SignIn) -> None:
    client = sign_in(bob)
    wrong = {**SENT, "url": "https://elsewhere.example.com/m"}
    assert "FOREBAY_MODEL_HOSTS" in client.post(f"{LIST}import/", wrong).content.decode()
    wrong = {**SENT, "type": "folder", "path": "x"}
    assert client.post(f"{LIST}import/", wrong).status_code == 200
    assert not ModelVersion.objects.exists()


def test_a_failed_import_says_why(bob: Member, sign_in: SignIn) -> None:
    client = sign_in(bob)
    client.post(f"{LIST}import/", SENT)
    row = ModelVersion.objects.get()
    row.fail("m.gguf is not a GGUF file", by="t")
    assert "m.gguf is not a GGUF file" in client.get(f"{LIST}{row.pk}/").content.decode()
    client.cookies["forebay_language"] = "zh-hans"
    headers = {"Accept-Language": "zh-hans"}
    page = client.get(f"{LIST}{row.pk}/", headers=headers).content.decode()
    assert "m.gguf 不是 GGUF 文件" in page


def test_an_operator_promotes(
    operator: User, sign_in: SignIn, engine: Engine, tmp_path: Path
) -> None:
    base, client = version(None, tmp_path, "base"), sign_in(operator)
    body = {"engine": str(engine.pk), "url": "http://127.0.0.1:17002/v1", "keeps_old": "on"}
    answer = client.post(f"{ALL}{base.pk}/promotion/", body)
    assert "/replacements/" in answer.headers["Location"]
    page = client.get(f"{ALL}{base.pk}/").content.decode()
    assert "gpu-1.base-1" in page


def test_a_gates_refusal_is_shown_and_on_record(
    operator: User,
    sign_in: SignIn,
    engine: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gates, "_gates", {"x": lambda version, engine: ["it lacks a report"]})
    base, client = version(None, tmp_path, "base"), sign_in(operator)
    body = {"engine": str(engine.pk), "url": "http://127.0.0.1:17002/v1"}
    page = client.post(f"{ALL}{base.pk}/promotion/", body).content.decode()
    assert "it lacks a report" in page
    assert Event.objects.filter(action="model_version:refuse").exists()
