"""Versions of models over the management API, and what a stranger learns of them: nothing."""

from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test import Client
from pytest_django.fixtures import Settings

from audit.actions import Action
from audit.keys import signing
from audit.models import Event
from inference.batch.file_store import FileOwner, FileWriter
from inference.model_registry import gates
from inference.model_registry.importing import import_all
from inference.model_registry.registering import register
from inference.models import (
    Engine,
    File,
    FilePurpose,
    Model,
    ModelVersion,
    Pool,
    VersionKind,
    VersionState,
)
from tenants.models import ApiKey, Tenant, User
from tenants.scope import tenant_scope
from tests.console.api.conftest import Answer, Api, Enter, errors, issued, operator_key
from tests.inference.model_registry.files import folder, gguf

pytestmark = pytest.mark.django_db
LIST = "tenants/acme/model-versions/"
ALL = "model-versions/"
READ, WRITE = ["management:read"], ["management:read", "management:write"]
Registered = Callable[..., ModelVersion]


@pytest.fixture(autouse=True)
def places(tmp_path: Path, settings: Settings) -> None:
    settings.MODEL_STORE = str(tmp_path / "store")
    settings.MODEL_COPIES = tmp_path / "copies"
    settings.MODEL_FOLDERS = [tmp_path / "models"]
    settings.MODEL_IMPORTS = tmp_path / "imports"
    settings.MODEL_HOSTS = ["models.example.com"]


@pytest.fixture
def registered(tmp_path: Path) -> Registered:
    def make(tenant: Tenant | None, name: str = "own", **more: Any) -> ModelVersion:
        where = folder(tmp_path / uuid4().hex)
        owner = tenant.pk if tenant else None
        kind = VersionKind.FULL
        return register(tenant_id=owner, name=name, folder=where, kind=kind, **more)

    return make


@pytest.fixture
def api(acme: Tenant, with_key: Enter) -> Api:
    return with_key(acme, WRITE)


@pytest.fixture
def engine(db: None) -> Engine:
    pool = Pool.add(Model.add("chat", by="t"), "here", by="t")
    return Engine.add(pool, "gpu-1", by="t", kind="vllm", url="http://127.0.0.1:17001/v1")


SOURCE = {"type": "https", "url": "https://models.example.com/m.gguf", "sha256": "0" * 64}


def sent(answer: Answer) -> bytes:
    async def read() -> bytes:
        return b"".join([piece async for piece in answer.streaming_content])

    return async_to_sync(read)()


# A tenant ----------------------------------------------------------------------------------------
def uploaded(tenant: Tenant, key: ApiKey, name: str, content: bytes, purpose: Any) -> str:
    owner = FileOwner(tenant.pk, key.subject_id, key.pk, key.actor)
    writer = FileWriter(owner, purpose, name)
    writer.write(content)
    return writer.finish().public_id


@pytest.fixture
def files(acme: Tenant, tmp_path: Path) -> tuple[Api, list[str], Callable[..., str]]:
    """An API of a key, and its files of a model."""
    key, secret = issued(acme, WRITE)
    where, purpose = folder(tmp_path / "m"), FilePurpose.MODEL
    paths = sorted(where.iterdir())
    names = [uploaded(acme, key, path.name, path.read_bytes(), purpose) for path in paths]
    return Api(Client(), secret), names, partial(uploaded, acme, key)


def by_files(api: Api, files: list[str], **more: Any) -> Answer:
    return api.post(LIST, name="up", kind="full", source={"type": "files", "files": files, **more})


@pytest.mark.django_db(transaction=True)
def test_a_tenant_imports_files_that_it_has_uploaded(files: Any) -> None:
    api, names, _upload = files
    made = by_files(api, names)
    assert made.status_code == 201
    for thread in import_all():
        thread.join(60)
    row = ModelVersion.objects.get()
    assert (row.state, row.problem) == (VersionState.READY, "")
    assert row.files.count() == len(names)
    assert File.objects.whole().count() == len(names)  # they are the key's, as before


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("right", [True, False])
def test_the_hash_of_an_uploaded_file_is_checked(files: Any, tmp_path: Path, right: bool) -> None:
    api, _names, upload = files
    content = gguf(tmp_path / "m.gguf").read_bytes()
    name = upload("m.gguf", content, FilePurpose.MODEL)
    digest = sha256(content if right else b"x").hexdigest()
    assert by_files(api, [name], sha256=digest).status_code == 201
    for thread in import_all():
        thread.join(60)
    row = ModelVersion.objects.get()
    assert row.state == (VersionState.READY if right else VersionState.FAILED)
    assert ("SHA-256" in row.problem) is not right


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("case", ["double", "deleted", "a name that leaves"])
def test_an_import_of_files_that_do_not_fit_fails_with_the_reason(files: Any, case: str) -> None:
    api, names, upload = files
    if case == "double":
        names.append(upload("config.json", b"{}", FilePurpose.MODEL))
    elif case == "a name that leaves":
        names.append(upload("../../..", b"{}", FilePurpose.MODEL))
    by_files(api, names)
    if case == "deleted":
        File.objects.filter(pk=names[0].removeprefix("file-")).delete()
    for thread in import_all():
        thread.join(60)
    assert (
        ModelVersion.objects.get().problem
        == {
            "double": "two files are called 'config.json'",
            "deleted": "an uploaded file was deleted before it was read",
            "a name that leaves": "'..' is no name for a file of a model",
        }[case]
    )


def test_files_of_others_and_of_another_purpose_are_refused(
    files: Any, globex: Tenant, with_key: Enter, acme: Tenant
) -> None:
    api, names, upload = files
    batch = upload("x.jsonl", b"{}", FilePurpose.BATCH)
    for wrong in ([], [batch], ["file-x"], [f"file-{uuid4().hex}"]):
        assert by_files(api, wrong).status_code == 400
    assert by_files(api, names, sha256="0" * 64).status_code == 400  # of which file?
    assert by_files(with_key(acme, WRITE), names).status_code == 400  # another key
    stranger = with_key(globex, WRITE)
    source = {"type": "files", "files": names}
    path = "tenants/globex/model-versions/"
    assert stranger.post(path, name="up", kind="full", source=source).status_code == 400
    assert not ModelVersion.objects.exists()


def test_a_tenant_sees_its_own_and_the_platforms(
    api: Api, acme: Tenant, globex: Tenant, registered: Registered
) -> None:
    base = registered(None, "base", card="a base")
    own = registered(acme, parents=[base.pk])
    registered(globex, "theirs")
    ModelVersion.objects.filter(pk=base.pk).update(source={"url": "https://inside"})
    rows = {row["name"]: row for row in api.get(LIST).json()["results"]}
    assert rows.keys() == {"base", "own"}
    assert (rows["base"]["tenant"], rows["base"]["source"]) == (None, {})
    assert rows["own"]["parents"] == [str(base.pk)]
    assert api.get(f"{LIST}{own.pk}/").json()["format"] == "safetensors"


def test_what_the_platform_has_not_finished_is_not_shown(api: Api, registered: Registered) -> None:
    base = registered(None, "base")
    ModelVersion.objects.update(state=VersionState.FAILED)
    assert api.get(LIST).json()["results"] == []
    assert api.get(f"{LIST}{base.pk}/").status_code == 404


def test_an_import_is_begun(api: Api) -> None:
    body = {"name": "small", "kind": "base", "source": SOURCE, "licence": "MIT"}
    answer = api.post(LIST, **body)
    assert answer.status_code == 201, answer.content
    assert (answer.json()["state"], answer.json()["number"]) == ("importing", 1)
    assert answer.json()["source"] == SOURCE
    assert api.post(LIST, **body).json()["number"] == 2


@pytest.mark.parametrize(
    ("source", "field"),
    [
        ({"type": "folder", "path": "x"}, ""),
        ({**SOURCE, "url": "https://elsewhere.example.com/m"}, "url"),
        ({**SOURCE, "url": "https://169.254.169.254/m"}, "url"),
        ({**SOURCE, "url": "http://models.example.com/m"}, "url"),
        ({**SOURCE, "sha256": "x"}, "sha256"),
        ({"type": "git", "url": SOURCE["url"], "revision": "--x"}, "revision"),
        ({"type": "ftp", "url": SOURCE["url"]}, "source.type"),
    ],
)
def test_what_a_tenant_may_not_import_is_refused(
    api: Api, source: dict[str, str], field: str
) -> None:
    answer = api.post(LIST, name="small", kind="base", source=source)
    assert answer.status_code == 400
    assert errors(answer).keys() == {field}
    assert not ModelVersion.objects.exists()


def test_strangers_parents_are_refused(api: Api, globex: Tenant, registered: Registered) -> None:
    theirs = registered(globex)
    for parent in (str(theirs.pk), str(uuid4())):
        answer = api.post(LIST, name="x", kind="full", source=SOURCE, parents=[parent])
        assert errors(answer) == {"parents": ["There is no such version of a model."]}


def test_files_are_downloaded_on_record(api: Api, acme: Tenant, registered: Registered) -> None:
    version = registered(acme)
    listed = api.get(f"{LIST}{version.pk}/files/").json()
    body = orjson.dumps(listed["manifest"], option=orjson.OPT_SORT_KEYS)
    assert signing.verify(body, bytes.fromhex(listed["signature"]), "model-manifest")
    file = next(row for row in listed["files"] if row["name"] == "model.safetensors")
    path = f"{LIST}{version.pk}/files/{file['id']}/"
    answer = api.get(path)
    content = sent(answer)
    assert sha256(content).hexdigest() == file["sha256"]
    assert answer.headers["Content-Length"] == str(len(content))
    rest = api.get(path, {"Range": "bytes=10-"})
    assert rest.status_code == 206
    assert sent(rest) == content[10:]
    long = f"bytes={'9' * 5000}-"
    for wrong in ("bytes=10-11", f"bytes={len(content)}-", "x", "bytes=-5", long):
        assert api.get(path, {"Range": wrong}).status_code == 416
    event = Event.objects.filter(action=Action.MODEL_VERSION_READ).first()
    assert event
    assert event.detail["file"] == "model.safetensors"


def test_it_is_deleted(api: Api, acme: Tenant, registered: Registered) -> None:
    version = registered(acme)
    assert api.delete(f"{LIST}{version.pk}/").status_code == 204
    assert api.get(f"{LIST}{version.pk}/").status_code == 404
    assert api.get(LIST).json()["results"] == []


def test_the_platforms_versions_are_only_read(api: Api, registered: Registered) -> None:
    base = registered(None, "base")
    path = f"{LIST}{base.pk}/"
    assert api.delete(path, "*").status_code == 404
    assert api.get(f"{path}files/").status_code == 404
    file = base.files.first()
    assert file
    assert api.get(f"{path}files/{file.pk}/").status_code == 404


def test_a_key_that_only_reads_changes_nothing(
    acme: Tenant, with_key: Enter, registered: Registered
) -> None:
    api, version = with_key(acme, READ), registered(acme)
    assert api.get(f"{LIST}{version.pk}/").status_code == 200
    assert api.post(LIST, name="x", kind="base", source=SOURCE).status_code == 403
    assert api.delete(f"{LIST}{version.pk}/", "*").status_code == 403
    assert api.get(f"{LIST}{version.pk}/files/").status_code == 403


# charlie, of another tenant ----------------------------------------------------------------------
def test_charlie_cannot_tell_that_there_is_a_version(
    acme: Tenant, globex: Tenant, with_key: Enter, registered: Registered
) -> None:
    """In their own tenant and in ours, an id of ours answers as one that nobody has."""
    version, charlie = registered(acme), with_key(globex, WRITE)
    file = version.files.first()
    assert file
    for tenant in ("globex", "acme"):
        for pk in (version.pk, uuid4()):
            path = f"tenants/{tenant}/model-versions/{pk}/"
            answers = [
                charlie.get(path),
                charlie.get(f"{path}files/"),
                charlie.get(f"{path}files/{file.pk}/"),
                charlie.delete(path, "*"),
            ]
            assert {answer.status_code for answer in answers} == {404}
    assert charlie.get("tenants/globex/model-versions/").json()["results"] == []
    for path in (ALL, f"{ALL}{version.pk}/"):
        assert charlie.get(path).status_code == 403
    version.refresh_from_db()
    assert version.state == VersionState.READY


def test_charlies_own_version_does_not_open_our_files(
    acme: Tenant, globex: Tenant, with_key: Enter, registered: Registered
) -> None:
    ours, theirs = registered(acme), registered(globex)
    file = ours.files.first()
    assert file
    charlie = with_key(globex, WRITE)
    path = f"tenants/globex/model-versions/{theirs.pk}/files/{file.pk}/"
    assert charlie.get(path).status_code == 404


def test_charlies_room_and_numbers_say_nothing_of_ours(
    acme: Tenant, globex: Tenant, with_key: Enter, registered: Registered, settings: Settings
) -> None:
    version = registered(acme)
    settings.TENANT_MODELS_BYTES = version.size
    answer = with_key(globex, WRITE).post(
        "tenants/globex/model-versions/", name="own", kind="base", source=SOURCE
    )
    assert (answer.status_code, answer.json()["number"]) == (201, 1)


# Operators ---------------------------------------------------------------------------------------
@pytest.fixture
def operators(operator: User) -> Api:
    return Api(Client(), operator_key(operator)[1])


def test_an_operator_imports_from_a_folder(operators: Api, tmp_path: Path) -> None:
    folder(tmp_path / "models" / "m")
    source = {"type": "folder", "path": "m"}
    answer = operators.post(ALL, name="base", kind="base", source=source)
    assert answer.status_code == 201, answer.content
    assert answer.json()["tenant"] is None


def test_a_version_is_promoted_and_rolled_back_later(
    operators: Api, engine: Engine, registered: Registered
) -> None:
    base = registered(None, "base")
    body = {"engine": str(engine.pk), "url": "http://127.0.0.1:17002/v1", "keeps_old": True}
    answer = operators.post(f"{ALL}{base.pk}/promote/", **body)
    assert answer.status_code == 201, answer.content
    assert answer.json()["new"] == "gpu-1.base-1"
    assert operators.get(answer.headers["Location"]).json()["step"] == "loading"
    assert operators.get(f"{ALL}{base.pk}/").json()["served_by"] == ["gpu-1.base-1"]
    assert operators.delete(f"{ALL}{base.pk}/").status_code == 400  # it is in use


def test_a_gate_refuses_and_is_on_record(
    operators: Api, engine: Engine, registered: Registered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "_gates", {"reports": lambda version, engine: ["no report"]})
    base = registered(None, "base")
    body = {"engine": str(engine.pk), "url": "http://127.0.0.1:17002/v1"}
    answer = operators.post(f"{ALL}{base.pk}/promote/", **body)
    assert answer.status_code == 409
    assert answer.json()["type"].endswith("gate_refused")
    assert errors(answer) == {"version": ["no report"]}
    event = Event.objects.get(action=Action.MODEL_VERSION_REFUSE)
    assert event.detail["reasons"] == ["no report"]
    assert Engine.objects.count() == 1


def test_a_tenants_version_is_not_promoted_for_everybody(
    operators: Api, acme: Tenant, engine: Engine, registered: Registered
) -> None:
    version = registered(acme)
    body = {"engine": str(engine.pk), "url": "http://127.0.0.1:17002/v1"}
    answer = operators.post(f"{ALL}{version.pk}/promote/", **body)
    assert errors(answer).keys() == {"version"}
    Model.objects.update(only_for=acme.pk)
    assert operators.post(f"{ALL}{version.pk}/promote/", **body).status_code == 201


def test_a_launch_of_a_copy_needs_a_promotion(
    operators: Api, engine: Engine, registered: Registered
) -> None:
    """Else an operator's key could serve a version past its gates."""
    name = f"registry:{registered(None).pk}/m.gguf"
    body = {"name": "x", "pool": "here", "kind": "llama_cpp"}
    answer = operators.post("engines/", **body, options={"launch": {"model": name}})
    assert answer.status_code == 400


def test_a_key_for_engines_alone_learns_of_no_tenant(
    operator: User, acme: Tenant, registered: Registered
) -> None:
    base, own = registered(None, "base"), registered(acme)
    key = Api(Client(), operator_key(operator, ["engines:read"])[1])
    assert [row["id"] for row in key.get(ALL).json()["results"]] == [str(base.pk)]
    assert key.get(f"{ALL}{own.pk}/").status_code == 404


def test_people_of_a_tenant_are_no_operators(api: Api, registered: Registered) -> None:
    base = registered(None, "base")
    assert api.post(ALL, name="x", kind="base", source=SOURCE).status_code == 403
    assert api.post(f"{ALL}{base.pk}/promote/", engine=str(uuid4())).status_code == 403


# The database itself -----------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_the_database_shows_a_tenant_its_own_rows_and_the_platforms(
    acme: Tenant, globex: Tenant, registered: Registered
) -> None:
    base, ours, theirs = registered(None, "base"), registered(acme), registered(globex)
    with tenant_scope(globex.pk), connection.cursor() as cursor:
        for table, column in (("modelversion", "id"), ("modelfile", "version_id")):
            cursor.execute(f"select distinct {column} from inference_{table}")
            assert {row[0] for row in cursor.fetchall()} == {base.pk, theirs.pk}, ours
