"""Versions of models in the console: seen, imported, deleted; promoted by operators."""

import zipfile
from pathlib import Path
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django.fixtures import Settings

from audit.models import Event
from inference.model_registry import gates
from inference.model_registry.importing import import_all
from inference.model_registry.registering import register
from inference.models import Engine, File, Model, ModelVersion, Pool, VersionKind, VersionState
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
    settings.MODEL_IMPORTS = tmp_path / "imports"


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


# Uploads -----------------------------------------------------------------------------------------
UPLOAD = {"name": "small", "kind": "base", "type": "files"}


def archive(tmp_path: Path) -> bytes:
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as packed:
        for file in folder(tmp_path / "m").iterdir():
            packed.write(file, f"m/{file.name}")
    return (tmp_path / "m.zip").read_bytes()


def pieces_sent(client: Client, content: bytes, size: int = 300) -> str:
    begun = client.post(f"{LIST}uploads/", {"file_name": "m.zip"}).json()
    for number in range(-(-len(content) // size)):
        piece = SimpleUploadedFile("piece", content[number * size : (number + 1) * size])
        for _twice in range(2):  # as after a broken connection
            piece.seek(0)
            answer = client.post(begun["pieces"], {"piece": number, "file": piece})
            assert answer.status_code == 204
    return str(begun["upload"])


def imported() -> ModelVersion:
    for thread in import_all():
        thread.join(60)
    return ModelVersion.objects.get()


@pytest.mark.django_db(transaction=True)
def test_bob_uploads_an_archive_in_pieces(bob: Member, sign_in: SignIn, tmp_path: Path) -> None:
    client = sign_in(bob)
    upload = pieces_sent(client, archive(tmp_path))
    wrong = client.post(f"{LIST}import/", {**UPLOAD, "name": "Not a name", "upload": upload})
    assert upload in wrong.content.decode()  # the form keeps it
    client.post(f"{LIST}import/", {**UPLOAD, "upload": upload})
    row = imported()
    assert (row.state, row.format) == (VersionState.READY, "safetensors")
    assert {file.name for file in row.files.all()} == {
        "model.safetensors",
        "config.json",
        "README.md",
    }
    assert not File.objects.exists()  # the pieces are gone
    assert "Uploaded" in client.get(f"{LIST}{row.pk}/").content.decode()


@pytest.mark.django_db(transaction=True)
def test_a_small_file_needs_no_script(bob: Member, sign_in: SignIn, tmp_path: Path) -> None:
    file = SimpleUploadedFile("m.zip", archive(tmp_path))
    sign_in(bob).post(f"{LIST}import/", {**UPLOAD, "file": file})
    assert imported().state == VersionState.READY


def test_a_piece_out_of_order_is_told_the_next(bob: Member, sign_in: SignIn) -> None:
    client = sign_in(bob)
    pieces = client.post(f"{LIST}uploads/", {"file_name": "m.zip"}).json()["pieces"]
    sent = {"piece": 2, "file": SimpleUploadedFile("piece", b"x")}
    assert client.post(pieces, sent).json() == {"next": 0}
    sent = {"piece": 0, "file": SimpleUploadedFile("piece", b"x" * 700_001)}
    assert client.post(pieces, sent).status_code == 400


@pytest.mark.parametrize(
    ("limit", "words"),
    [("LARGEST_FILE_BYTES", "too large"), ("TENANT_FILES_BYTES", "files of this tenant are full")],
)
def test_an_upload_counts_in_the_files_of_the_tenant(
    bob: Member, sign_in: SignIn, settings: Settings, limit: str, words: str
) -> None:
    client = sign_in(bob)
    pieces = client.post(f"{LIST}uploads/", {"file_name": "m.zip"}).json()["pieces"]
    setattr(settings, limit, 1000)
    for number, status in enumerate((204, 409)):
        piece = SimpleUploadedFile("piece", b"x" * 600)
        answer = client.post(pieces, {"piece": number, "file": piece})
        assert answer.status_code == status
    assert words in answer.content.decode()


def test_an_upload_of_somebody_else_is_not_there(
    bob: Member, alice: Member, charlie: Member, sign_in: SignIn
) -> None:
    begun = sign_in(bob).post(f"{LIST}uploads/", {"file_name": "m.zip"}).json()
    for other, inside in ((alice, LIST), (charlie, "/console/t/globex/versions/")):
        client, piece = sign_in(other), SimpleUploadedFile("piece", b"x")
        pieces = f"{inside}uploads/{begun['upload']}/"
        assert client.post(pieces, {"piece": 0, "file": piece}).status_code == 404
        answer = client.post(f"{inside}import/", {**UPLOAD, "upload": begun["upload"]})
        assert answer.status_code == 404


def test_a_form_without_a_file_is_refused(bob: Member, sign_in: SignIn) -> None:
    page = sign_in(bob).post(f"{LIST}import/", UPLOAD).content.decode()
    assert "Choose a file." in page


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
