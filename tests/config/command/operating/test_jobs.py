"""`forebay jobs`: jobs of a tenant, created, followed, and ended from a command line."""

import json
import os
from uuid import uuid4

import pytest
from pytest_django.live_server_helper import LiveServer

from inference.jobs.bases import Place
from inference.jobs.on_host.progress import note
from inference.models import (
    DataSet,
    DataSetFormat,
    DataSetSource,
    DataSetState,
    Job,
    JobMetric,
    JobState,
)
from tenants.key_scopes import Scope
from tenants.models import ApiKey, Tenant
from tests.config.command.operating.conftest import Forebay


@pytest.fixture
def acme(
    transactional_db: None, live_server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> Tenant:
    tenant = Tenant.open("acme", by="test")
    scopes = [Scope.MANAGEMENT_READ, Scope.MANAGEMENT_WRITE]
    _key, secret = ApiKey.issue(tenant, "ci", scopes=scopes, by="test")
    monkeypatch.setenv("FOREBAY_URL", live_server.url)
    monkeypatch.setenv("FOREBAY_API_KEY", secret)
    monkeypatch.delenv("FOREBAY_OPERATOR_KEY", raising=False)
    monkeypatch.setattr("inference.jobs.bases.place", lambda *_: Place("large", "here"))
    monkeypatch.setattr("inference.jobs.bases.base_version", lambda *_: None)
    return tenant


def test_a_job_is_created_followed_and_cancelled(forebay: Forebay, acme: Tenant) -> None:
    created = forebay("jobs create acme quantise --base tiny --json --parameters", '{"a": 1}')
    assert created.status == 0, created.err
    job = Job.objects.get()
    assert (job.kind, job.parameters, job.pool) == ("quantise", {"a": 1}, "here")
    assert job.public_id in forebay("jobs list acme --unfinished").out
    note(job, "started", "started at step 0")
    JobMetric.objects.create(tenant=acme, job=job, step=1, train_loss=2.5, tokens=9)
    paused = forebay(f"jobs pause acme {job.public_id}")
    assert paused == (0, f"job {job.public_id}: paused\n", "")
    followed = forebay(f"jobs follow acme {job.public_id}")
    assert followed.out == f"job {job.public_id}: paused (by_request)\n"
    assert "started at step 0" in followed.err
    assert "step 1 train 2.5000 tokens 9" in followed.err
    assert forebay(f"jobs resume acme {job.id} --dry-run").out.endswith("would be resumed\n")
    assert forebay(f"jobs cancel acme {job.id}").status == 0
    again = forebay(f"jobs cancel acme {job.id} --json")
    assert (again.status, json.loads(again.out)["changed"]) == (0, False)
    job.refresh_from_db()
    assert job.state == "cancelled"
    assert forebay(f"jobs resume acme {job.id}").status == 1


def test_a_job_that_fails_says_which_lines_are_wrong(forebay: Forebay, acme: Tenant) -> None:
    assert forebay("jobs create acme quantise --base tiny").status == 0
    job = Job.objects.get()
    code, wrong = "invalid_training_file", "this line is not valid JSON"
    job.fail(code, [{"code": code, "message": wrong, "line": number} for number in range(2, 9)])
    ended = forebay(f"jobs follow acme {job.public_id}")
    assert ended.status == 1
    assert f"failed: {code}; line 2: {wrong}; line 3: {wrong};" in ended.err
    assert ended.err.endswith("; and 2 more\n")


def test_a_data_set_is_named_and_the_job_followed_to_its_end(
    forebay: Forebay, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_set = DataSet.create(acme, "manual", uuid4(), by="test")
    fields = {"state": DataSetState.READY, "source": DataSetSource.UPLOAD, "rows": 1}
    version = data_set.add_version(by="test", form=DataSetFormat.TEXTS, **fields)

    def succeed(_seconds: float) -> None:
        Job.objects.update(state=JobState.SUCCEEDED)

    monkeypatch.setattr("time.sleep", succeed)
    create = "jobs create acme pretrain --base tiny --follow --data-set-version"
    for name in ("manual", "manual@1", str(version.pk)):
        ended = forebay(f"{create} {name}")
        job = Job.objects.latest("created_at")
        assert (ended.status, ended.out) == (0, f"job {job.public_id}: succeeded\n")
        assert job.data_set_version_id == version.pk
    for name, status in (("other", 1), ("manual@2", 1), ("manual@x", 2)):
        assert forebay(f"{create} {name}").status == status


def test_the_key_may_be_in_the_variable_of_operators(
    forebay: Forebay, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOREBAY_OPERATOR_KEY", os.environ["FOREBAY_API_KEY"])
    monkeypatch.delenv("FOREBAY_API_KEY")
    assert forebay("jobs list acme").status == 0
    monkeypatch.delenv("FOREBAY_OPERATOR_KEY")
    assert "set FOREBAY_API_KEY or FOREBAY_API_KEY_FILE" in forebay("jobs list acme").err


@pytest.mark.parametrize("name", ["", "job", "ftjob-12"])
def test_what_is_no_job_is_said(forebay: Forebay, acme: Tenant, name: str) -> None:
    ended = forebay("jobs show acme", name)
    assert (ended.status, ended.out) == (2, "")
    assert "is no job" in ended.err
