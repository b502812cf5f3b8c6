"""Jobs over the management API: created, followed, paused; never another tenant's."""

from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import pytest
from pytest_django.fixtures import Settings

from inference.batch.file_store import FileOwner, FileWriter
from inference.jobs.bases import Place
from inference.jobs.on_host.progress import note
from inference.model_registry.headers.header import BadFile
from inference.model_registry.room import RegistryFull
from inference.models import File, FilePurpose, Job, JobCheckpoint, JobMetric
from infrastructure.objects.place import StoreError
from tenants.models import ApiKey, Quota, Tenant
from tests.console.api.conftest import Api, Enter

pytestmark = pytest.mark.django_db
LIST = "tenants/acme/jobs/"


@pytest.fixture
def api(acme: Tenant, with_key: Enter) -> Api:
    return with_key(acme, ["management:read", "management:write"])


@pytest.fixture(autouse=True)
def _stands_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.jobs.bases.place", lambda *_: Place("large", "here"))
    monkeypatch.setattr("inference.jobs.bases.base_version", lambda *_: None)


def created(api: Api, **more: Any) -> Any:
    answer = api.post(LIST, **{"kind": "quantise", "base": "tiny", **more})
    assert answer.status_code == 201, answer.content
    return answer.json()


def test_a_job_is_created_and_goes_through_its_acts(api: Api, acme: Tenant) -> None:
    job = created(api, parameters={"format": "q8_0"}, seed=3)
    assert (job["state"], job["pool"], job["seed"]) == ("validating", "here", 3)
    assert job["name"].startswith("job-")
    path = f"{LIST}{job['id']}/"
    assert api.post(f"{path}pause/").json()["state"] == "paused"
    assert api.post(f"{path}pause/").status_code == 409
    assert api.post(f"{path}resume/").json()["state"] == "validating"
    assert api.post(f"{path}cancel/").json()["state"] == "cancelled"
    assert api.post(f"{path}resume/").status_code == 409
    assert [each["id"] for each in api.get(f"{LIST}?unfinished=false").json()["results"]] == [
        job["id"]
    ]
    assert api.get(f"{LIST}?unfinished=true").json()["results"] == []


def test_its_curve_is_read_from_a_point_on(api: Api, acme: Tenant) -> None:
    job = created(api)
    row = Job.objects.get()
    for step in range(1, 4):
        JobMetric.objects.create(tenant=acme, job=row, step=step, train_loss=1 / step)
    path = f"{LIST}{job['id']}/"
    points = api.get(f"{path}metrics/").json()["results"]
    assert [point["step"] for point in points] == [1, 2, 3]
    later = api.get(f"{path}metrics/?after={points[1]['id']}").json()["results"]
    assert [point["step"] for point in later] == [3]
    note(row, "started", "started at step 0")
    JobCheckpoint.objects.create(tenant=acme, job=row, step=2, files=[["a", "b", 1]], size=1)
    assert api.get(f"{path}events/").json()["results"][0]["message"] == "started at step 0"
    (checkpoint,) = api.get(f"{path}checkpoints/").json()["results"]
    assert (checkpoint["step"], checkpoint["has_files"]) == (2, True)


def test_files_of_the_key_are_the_two_parts_of_its_data(
    api: Api, acme: Tenant, globex: Tenant
) -> None:
    key = ApiKey.objects.get()
    owner = FileOwner(acme.id, key.subject_id, key.id, f"key:{key.id}")
    train, held_out = (_file(owner, name) for name in ("train", "held_out"))
    files = {"training_file": train.public_id, "validation_file": held_out.public_id}
    created(api, kind="score", **files)
    job = Job.objects.get()
    assert (job.training_file_id, job.validation_file_id) == (train.pk, held_out.pk)
    del files["training_file"]
    answer = api.post(LIST, kind="score", base="tiny", **files)
    assert (answer.status_code, Job.objects.count()) == (400, 1)
    strangers = _file(FileOwner(globex.id, uuid4(), None, "test"), "theirs").public_id
    answer = api.post(LIST, kind="score", base="tiny", **{**files, "validation_file": strangers})
    assert answer.json()["errors"] == {"validation_file": ["There is none."]}


def _file(owner: FileOwner, name: str) -> File:
    writer = FileWriter(owner, FilePurpose.FINE_TUNE, f"{name}.jsonl")
    writer.write(b'{"text": "a page"}\n')
    return writer.finish()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"kind": "sing"}, 400),
        ({"kind": "fine-tune", "base": "tiny"}, 400),
        ({"kind": "quantise"}, 400),
        ({"kind": "score", "base": "tiny", "training_file": "file-1"}, 400),
        ({"kind": "score", "base": "tiny", "validation_file": "file-1"}, 400),
        ({"kind": "prepare", "data_set_version": "0192e6a0-5d0b-7c6e-9f6e-1f2a3b4c5d6e"}, 400),
    ],
)
def test_what_cannot_be_is_refused(api: Api, body: dict[str, Any], status: int) -> None:
    assert api.post(LIST, **body).status_code == status
    assert not Job.objects.exists()


def test_without_room_in_a_quota_none_begins(api: Api, acme: Tenant) -> None:
    Quota.set(acme, unit="gpu_seconds", window="month", limit=0, by="test")
    answer = api.post(LIST, kind="quantise", base="tiny")
    assert answer.status_code == 429
    assert answer.json()["type"] == "urn:forebay:problem:no_room"


def test_a_stranger_finds_none(api: Api, globex: Tenant, with_key: Enter) -> None:
    job = created(api)
    charlie = with_key(globex, ["management:read", "management:write"])
    for path in (LIST, f"{LIST}{job['id']}/", f"tenants/globex/jobs/{job['id']}/"):
        assert charlie.get(path).status_code == 404
    for part in ("events", "metrics", "checkpoints"):
        assert charlie.get(f"tenants/globex/jobs/{job['id']}/{part}/").status_code == 404
    assert charlie.post(f"tenants/globex/jobs/{job['id']}/cancel/").status_code == 404


def test_paused_jobs_make_no_way_around_the_most_under_way(api: Api, settings: Settings) -> None:
    settings.JOBS_UNDER_WAY = 1
    first = f"{LIST}{created(api)['id']}/"
    assert api.post(LIST, kind="quantise", base="tiny").status_code == 429
    assert api.post(f"{first}pause/").json()["state"] == "paused"
    second = f"{LIST}{created(api)['id']}/"
    assert api.post(f"{first}resume/").status_code == 409
    assert api.post(f"{second}cancel/").status_code == 200
    assert api.post(f"{first}resume/").json()["state"] == "validating"


def test_parameters_that_no_order_carries_are_refused(api: Api) -> None:
    for value in ([1], {"a": 1}):
        answer = api.post(LIST, kind="quantise", base="tiny", parameters={"format": value})
        assert answer.status_code == 400, value
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("problem", "status", "code"),
    [
        (RegistryFull(1), 409, "registry_full"),
        (BadFile("a header is cut off"), 409, "conflict"),
        (FileNotFoundError("of an older checkpoint"), 409, "conflict"),
        (StoreError("away"), 503, "unavailable"),
    ],
)
def test_a_checkpoint_that_cannot_be_registered_says_why(
    api: Api,
    acme: Tenant,
    monkeypatch: pytest.MonkeyPatch,
    problem: Exception,
    status: int,
    code: str,
) -> None:
    job = created(api)
    row = JobCheckpoint.objects.create(tenant=acme, job=Job.objects.get(), step=2)
    monkeypatch.setattr("console.api.jobs.jobs.register_checkpoint", Mock(side_effect=problem))
    answer = api.post(f"{LIST}{job['id']}/checkpoints/{row.pk}/register/")
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:forebay:problem:{code}")


@pytest.mark.parametrize("parameters", [{"format": "q8\0_0"}, {"for\0mat": "q8_0"}])
def test_parameters_that_no_row_can_hold_are_refused(api: Api, parameters: Any) -> None:
    answer = api.post(LIST, kind="quantise", base="tiny", parameters=parameters)
    assert answer.status_code == 400, answer.content
