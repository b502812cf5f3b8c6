"""`forebay jobs`: jobs of a tenant, created, followed, and ended from a command line."""

import json

import pytest
from pytest_django.live_server_helper import LiveServer

from inference.jobs.bases import Place
from inference.jobs.progress import note
from inference.models import Job, JobMetric
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
    monkeypatch.setenv("FOREBAY_OPERATOR_KEY", secret)
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
    assert "started at step 0" in followed.err
    assert "step 1 train 2.5000 tokens 9" in followed.err
    assert forebay(f"jobs resume acme {job.id} --dry-run").out.endswith("would be resumed\n")
    assert forebay(f"jobs cancel acme {job.id}").status == 0
    again = forebay(f"jobs cancel acme {job.id} --json")
    assert (again.status, json.loads(again.out)["changed"]) == (0, False)
    job.refresh_from_db()
    assert job.state == "cancelled"
    assert forebay(f"jobs resume acme {job.id}").status == 1


@pytest.mark.parametrize("name", ["", "job", "ftjob-12"])
def test_what_is_no_job_is_said(forebay: Forebay, acme: Tenant, name: str) -> None:
    ended = forebay("jobs show acme", name)
    assert (ended.status, ended.out) == (2, "")
    assert "is no job" in ended.err
