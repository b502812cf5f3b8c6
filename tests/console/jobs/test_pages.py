"""Pages of jobs: what they show of a job's life, what can be done there, and who sees them."""

from typing import Any
from uuid import uuid4

import pytest
from redis.exceptions import RedisError

from audit.models import Event
from console.jobs import waiting
from inference.jobs import orders
from inference.jobs.bases import Place
from inference.jobs.on_host.progress import note
from inference.models import (
    DataSetFormat,
    DataSetVersion,
    Job,
    JobMetric,
    ModelDataSet,
    ModelVersion,
    VersionKind,
)
from inference.pool_policy import jobs_queue
from inference.queue_control.tenant_queue import OwnLine, WaitingRequest
from tenants.models import Member, Price, Quota, Tenant, User
from tests.console.conftest import SignIn
from tests.console.jobs.rows import a_checkpoint, a_job, learned
from tests.console.jobs.versions import a_base, a_data_set

pytestmark = pytest.mark.django_db
JOBS = "/console/t/acme/jobs/"


@pytest.fixture
def base(acme: Tenant) -> ModelVersion:
    return a_base(acme)


@pytest.fixture
def chats(acme: Tenant) -> DataSetVersion:
    return a_data_set(acme, "chats", DataSetFormat.CHATS)


@pytest.fixture(autouse=True)
def _has_a_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.jobs.bases.place", lambda *_: Place("mock", "mock"))


# The list -----------------------------------------------------------------------------------------
def test_the_list_is_filtered_by_kind_and_state(sign_in: SignIn, alice: Member) -> None:
    client = sign_in(alice)
    assert "No job yet" in client.get(JOBS).content.decode()
    running = a_job(alice.tenant, "running", done=5, of=20, active_ms=60_000)
    quantised = a_job(alice.tenant, "succeeded", kind="quantise")
    page = client.get(JOBS).content.decode()
    assert "25.0 %" in page
    assert "3 min" in page  # a quarter took a minute
    assert 'hx-trigger="every 3s"' in page
    for query, shown, hidden in (
        ("kind=quantise", quantised, running),
        ("state=unfinished", running, quantised),
        ("state=succeeded", quantised, running),
    ):
        rows = client.get(f"{JOBS}?{query}").content.decode()
        assert str(shown.pk) in rows
        assert str(hidden.pk) not in rows
    assert "No job matches" in client.get(f"{JOBS}?kind=distil").content.decode()
    assert "No job matches" in client.get(f"{JOBS}?kind=nothing").content.decode()


# One job ------------------------------------------------------------------------------------------
def test_a_job_shows_what_it_does_and_how_far_it_is(
    sign_in: SignIn, alice: Member, base: ModelVersion, chats: DataSetVersion
) -> None:
    job = a_job(
        alice.tenant,
        "running",
        actor=alice.actor,
        base_version_id=base.pk,
        data_set_version_id=chats.pk,
        parameters={"epochs": 7, "method": "lora", "made_up": True},
    )
    learned(job, 10)
    Quota.set(alice.tenant, unit="gpu_seconds", window="month", limit=7200, by="test")
    page = sign_in(alice).get(f"{JOBS}{job.pk}/").content.decode()
    assert f"/console/t/acme/versions/{base.pk}/" in page
    assert f"/console/t/acme/data-sets/{chats.data_set_id}/versions/1/" in page
    assert "50.0 %" in page
    assert "20.0 s" in page  # of GPU time, and as much is left
    assert "Adapter (LoRA)" in page
    assert "made_up" in page
    assert alice.user.email in page
    assert "started at step 0" in page
    assert "7,200" in page  # its budget
    assert 'hx-trigger="every 2s"' in page
    assert page.count("job_curves") == 0
    assert f'data-curves="{JOBS}{job.pk}/curves/"' in page


def test_its_curves_come_from_a_point_on(sign_in: SignIn, alice: Member) -> None:
    client, job = sign_in(alice), a_job(alice.tenant, "running")
    learned(job, 3)
    address = f"{JOBS}{job.pk}/curves/"
    first = client.get(address).json()
    assert (first["step"], first["tokens"]) == ([1, 2, 3], [1000, 2000, 3000])
    assert first["active_ms"] == [2000, 4000, 6000]
    assert first["learning_rate"] == [4e-4] * 3
    assert client.get(f"{address}?after={first['last']}").json()["step"] == []
    learned(job, 2, since=3)
    Job.objects.filter(pk=job.pk).update(state="succeeded")
    later = client.get(f"{address}?after={first['last']}").json()
    assert (later["step"], later["over"]) == ([4, 5], True)
    assert later["held_out_loss"] == [None, 1]
    assert client.get(f"{address}?after=x").json()["step"] == [1, 2, 3, 4, 5]


def test_a_long_curve_is_thinned_and_keeps_held_out_losses(sign_in: SignIn, alice: Member) -> None:
    job = a_job(alice.tenant, "running")
    JobMetric.objects.bulk_create(
        JobMetric(
            tenant=alice.tenant,
            job=job,
            step=step,
            train_loss=1.0,
            held_out_loss=2.0 if step == 1501 else None,
        )
        for step in range(1, 3001)
    )
    steps = sign_in(alice).get(f"{JOBS}{job.pk}/curves/").json()["step"]
    assert 1000 <= len(steps) <= 1001
    assert 1501 in steps


def test_a_job_that_waits_says_why(
    sign_in: SignIn, alice: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = a_job(alice.tenant, "running", order_id=uuid4())

    def lines(parked: bool) -> Any:
        request = WaitingRequest(str(job.order_id), 1, 4, 90_000, 3.0, False, parked)
        line = OwnLine("mock", "finetune", 2, (request,), True, False, 1, True)
        return lambda *_: [line]

    client, page = sign_in(alice), f"{JOBS}{job.pk}/"
    monkeypatch.setattr(waiting, "own_lines", lines(parked=False))
    text = client.get(page).content.decode()
    assert "It waits for a GPU." in text
    assert "Requests of higher classes begin first." in text
    assert "realtime, batch" in text
    monkeypatch.setattr(waiting, "own_lines", lines(parked=True))
    assert "A higher class has its GPU." in client.get(page).content.decode()

    def away(*_: Any) -> Any:
        raise RedisError

    monkeypatch.setattr(waiting, "own_lines", away)
    assert "It has a GPU." in client.get(page).content.decode()


def test_a_job_that_waits_for_a_lent_engine_says_so(
    sign_in: SignIn, alice: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = a_job(alice.tenant, "running", order_id=uuid4())

    def lines(_tenant: str, queues: list[str]) -> list[OwnLine]:
        request = WaitingRequest(str(job.order_id), 1, 4, 90_000, 3.0, False, False)
        line = OwnLine("mock:jobs", "finetune", 2, (request,), True, False, 1, True)
        return [line] if queues == [jobs_queue(job.pool)] else []

    monkeypatch.setattr(waiting, "own_lines", lines)
    monkeypatch.setattr(orders, "all_queues", lambda: {jobs_queue(job.pool): None})
    text = sign_in(alice).get(f"{JOBS}{job.pk}/").content.decode()
    assert "It waits for a GPU." in text


@pytest.mark.parametrize(
    ("state", "reason", "words"),
    [
        ("paused", "quota", "Ask for a quota increase"),
        ("failed", "out_of_memory", "shorter sequences"),
        ("failed", "diverged", "lower learning rate"),
        ("failed", "never_heard_of", "<code>never_heard_of</code>"),
    ],
)
def test_an_error_says_what_to_do(
    sign_in: SignIn, alice: Member, state: str, reason: str, words: str
) -> None:
    problems = [{"code": reason, "message": "this line is not UTF-8", "line": 3}]
    job = a_job(alice.tenant, state, reason=reason, problems=problems)
    page = sign_in(alice).get(f"{JOBS}{job.pk}/").content.decode()
    assert words in page
    assert "Line 3" in page


def test_the_log_is_in_the_readers_language(sign_in: SignIn, alice: Member) -> None:
    job = a_job(alice.tenant, "failed", reason="out_of_memory")
    note(
        job, "out_of_memory", "The order takes 9000 MiB of memory, 512 MiB are free; it fits with 8"
    )
    client = sign_in(alice)
    client.post("/i18n/setlang/", {"language": "zh-hans", "next": JOBS})
    page = client.get(f"{JOBS}{job.pk}/").content.decode()
    assert "9000 MiB" in page
    assert "The order takes" not in page


def test_people_pause_resume_and_cancel(sign_in: SignIn, bob: Member) -> None:
    client, job = sign_in(bob), a_job(bob.tenant, "running")
    page = f"{JOBS}{job.pk}/"
    assert "Pause this job?" in client.get(page).content.decode()
    for verb, state in (("pause", "paused"), ("resume", "validating"), ("cancel", "cancelled")):
        assert client.post(f"{page}{verb}/")["Location"] == page
        job.refresh_from_db()
        assert job.state == state
    late = client.post(f"{page}resume/", follow=True).content.decode()
    assert "another state" in late
    assert "Cancel this job" not in late
    assert Event.objects.filter(action="job:cancel", actor=bob.actor).count() == 1


def test_a_checkpoint_is_registered_once_and_linked(
    sign_in: SignIn, alice: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, job = sign_in(alice), a_job(alice.tenant, "running")
    row = a_checkpoint(job, 10, files=[["step-000010/adapter/a", "0" * 64, 5]], size=5)
    bare = a_checkpoint(job, 5)
    page = f"{JOBS}{job.pk}/"
    address = f"{page}checkpoints/{row.pk}/registration/"
    text = client.get(page).content.decode()
    assert address in text
    assert f"{bare.pk}/registration/" not in text
    refused = client.post(f"{page}checkpoints/{bare.pk}/registration/", follow=True)
    assert "no files any more" in refused.content.decode()

    def registered(checkpoint: Any, *, by: str) -> ModelVersion:
        assert (checkpoint.pk, by) == (row.pk, alice.actor)
        fields: dict[str, Any] = {"kind": VersionKind.ADAPTER, "state": "ready", "number": 1}
        return ModelVersion.objects.create(
            tenant=alice.tenant, name="mine-step-10", made_by_job=job.pk, created_by=by, **fields
        )

    monkeypatch.setattr("console.jobs.pages.register_checkpoint", registered)
    assert "mine-step-10@1" in client.post(address, follow=True).content.decode()
    assert address not in client.get(page).content.decode()
    other = a_checkpoint(a_job(alice.tenant), 1)
    assert client.post(f"{page}checkpoints/{other.pk}/registration/").status_code == 404


# A new one ----------------------------------------------------------------------------------------
def test_a_job_begins_with_the_form_of_its_kind(
    sign_in: SignIn, alice: Member, base: ModelVersion, chats: DataSetVersion
) -> None:
    texts = a_data_set(alice.tenant, "pages", DataSetFormat.TEXTS)
    client, address = sign_in(alice), f"{JOBS}addition/?kind=fine-tune"
    form = client.get(f"{address}&data_set_version={chats.pk}&base={base.pk}")
    page = form.content.decode()
    assert f'value="{chats.pk}" selected' in page
    assert f'value="{base.pk}" selected' in page
    assert str(texts.pk) not in page  # fine-tuning takes chats
    fields = {
        **{field.html_name: field.initial or "" for field in form.context["form"]},
        "base": base.pk,
        "data_set_version": chats.pk,
        "suffix": "support",
        "p_epochs": 7,
    }
    wrong = client.post(address, {**fields, "p_epochs": 0})
    assert "is-invalid" in wrong.content.decode()
    assert not Job.objects.exists()
    begun = client.post(address, fields)
    job = Job.objects.get()
    assert begun["Location"] == f"{JOBS}{job.pk}/"
    assert (job.kind, job.base, job.data_set_version_id) == ("fine-tune", "tiny@1", chats.pk)
    assert (job.member_id, job.subject_id, job.actor) == (
        alice.pk,
        alice.subject_id,
        alice.actor,
    )
    assert (job.parameters["epochs"], job.parameters["method"]) == (7, "lora")
    assert "learning_rate" not in job.parameters  # the trainer's own choice


@pytest.mark.parametrize(
    ("kind", "needs"),
    [
        ("quantise", {"p_format": "int8"}),
        ("convert", {"p_to": "gguf", "p_dtype": "f16"}),
        ("score", {"p_length": 256, "p_batch": 4}),
        ("prepare", {"p_held_out": 5, "p_similarity": 0.8, "p_most_broken": 10, "p_mask": "on"}),
    ],
)
def test_other_kinds_ask_for_less(
    sign_in: SignIn, alice: Member, base: ModelVersion, kind: str, needs: dict[str, Any]
) -> None:
    texts = a_data_set(alice.tenant, "pages", DataSetFormat.TEXTS)
    fields = {"base": base.pk, "data_set_version": texts.pk, **needs}
    answer = sign_in(alice).post(f"{JOBS}addition/?kind={kind}", fields)
    assert answer.status_code == 302, answer.content.decode()
    job = Job.objects.get()
    assert job.kind == kind
    if kind == "prepare":
        assert (job.parameters["mask"], job.parameters["deduplicate"]) == (True, False)


def test_limits_are_said_in_words(
    sign_in: SignIn, alice: Member, base: ModelVersion, settings: Any
) -> None:
    client, fields = sign_in(alice), {"base": base.pk, "p_format": "q8_0"}
    address = f"{JOBS}addition/?kind=quantise"
    settings.JOBS_UNDER_WAY = 0
    assert "0 jobs of this tenant are under way" in client.post(address, fields).content.decode()
    settings.JOBS_UNDER_WAY = 4
    Quota.set(alice.tenant, unit="gpu_seconds", window="month", limit=0, by="test")
    assert "A quota has no room" in client.post(address, fields).content.decode()
    assert not Job.objects.exists()


def test_an_operator_begins_none_in_anothers_name(
    sign_in: SignIn, operator: User, base: ModelVersion
) -> None:
    fields = {"base": base.pk, "p_format": "q8_0"}
    answer = sign_in(operator).post(f"{JOBS}addition/?kind=quantise", fields)
    assert "Only members of the tenant" in answer.content.decode()
    assert not Job.objects.exists()


def test_an_estimate_follows_earlier_jobs(
    sign_in: SignIn, alice: Member, base: ModelVersion, chats: DataSetVersion
) -> None:
    client, address = sign_in(alice), f"{JOBS}addition/estimate/?kind=fine-tune"
    assert "stands here" in client.get(address).content.decode()
    fields: Any = {"base": base.pk, "data_set_version": chats.pk, "p_method": "lora"}
    fields |= {"p_epochs": 4}
    fields |= {"p_batch": 10, "p_length": 256, "p_rank": 16, "p_patience": 3}
    fields |= {"p_warm_up": 20, "p_save_every": 20}
    page = client.get(address, fields).content.decode()
    assert "about 40" in page  # ten steps an epoch
    assert "not known yet" in page
    a_job(
        alice.tenant,
        "succeeded",
        base_version_id=base.pk,
        data_set_version_id=chats.pk,
        parameters={"batch": 10, "length": 256},
        active_ms=60_000,
        done=10,
    )
    Price.set("mock", "0", "0", "0", gpu_hour="3", by="test")
    page = client.get(address, fields).content.decode()
    assert "about 4 min" in page
    assert "about 0.20" in page


# Ways to it ---------------------------------------------------------------------------------------
def test_versions_and_data_sets_lead_to_their_jobs(
    sign_in: SignIn, alice: Member, carol: Member, base: ModelVersion, chats: DataSetVersion
) -> None:
    client, job = sign_in(alice), a_job(alice.tenant, "succeeded", data_set_version_id=chats.pk)
    ModelVersion.objects.filter(pk=base.pk).update(made_by_job=job.pk)
    ModelDataSet.objects.create(tenant=alice.tenant, version=base, data_set_version_id=chats.pk)
    version = f"/console/t/acme/versions/{base.pk}/"
    rows = f"/console/t/acme/data-sets/{chats.data_set_id}/versions/1/"
    page = client.get(version).content.decode()
    assert f"{JOBS}{job.pk}/" in page
    assert rows in page
    assert f"{JOBS}addition/?kind=quantise&amp;base={base.pk}" in page
    page = client.get(rows).content.decode()
    assert f"{JOBS}{job.pk}/" in page
    assert version in page
    assert f"{JOBS}addition/?kind=fine-tune&amp;data_set_version={chats.pk}" in page
    for address in (version, rows):  # an auditor looks, and starts nothing
        assert f"{JOBS}addition/" not in sign_in(carol).get(address).content.decode()
    for name in ("evaluations", "adapters"):
        assert f"{JOBS}addition/" in client.get(f"/console/t/acme/{name}/").content.decode()


def test_the_menu_has_each_section_once(sign_in: SignIn, alice: Member) -> None:
    page = sign_in(alice).get(JOBS).content.decode()
    sections = page.partition('aria-label="Sections"')[2].partition("</nav>")[0]
    assert sections.count("Models") == 1
    pages = page.partition('aria-label="Pages"')[2].partition("</nav>")[0]
    assert [name for name in ("Versions", "Data sets", "Jobs", "Adapters") if name in pages] == [
        "Versions",
        "Data sets",
        "Jobs",
        "Adapters",
    ]


# Who sees them ------------------------------------------------------------------------------------
def test_a_stranger_sees_nothing_of_it(
    sign_in: SignIn, alice: Member, charlie: Member, base: ModelVersion, chats: DataSetVersion
) -> None:
    job = a_job(alice.tenant, "running", base_version_id=base.pk)
    checkpoint = a_checkpoint(job, 1)
    client, own = sign_in(charlie), f"/console/t/{charlie.tenant.name}/jobs/"
    for place in (JOBS, own):
        for path in (f"{job.pk}/", f"{job.pk}/curves/"):
            assert client.get(place + path).status_code == 404
        for verb in ("pause", "resume", "cancel", f"checkpoints/{checkpoint.pk}/registration"):
            assert client.post(f"{place}{job.pk}/{verb}/").status_code == 404
    assert str(job.pk) not in client.get(own).content.decode()
    form = client.get(f"{own}addition/").content.decode()
    assert str(base.pk) not in form
    assert str(chats.pk) not in form
    theirs = {"base": base.pk, "p_format": "q8_0"}
    assert client.post(f"{own}addition/?kind=quantise", theirs).status_code == 200
    assert Job.objects.count() == 1


def test_an_auditor_acts_on_nothing(sign_in: SignIn, carol: Member) -> None:
    job = a_job(carol.tenant, "running")
    page = sign_in(carol).get(f"{JOBS}{job.pk}/").content.decode()
    assert "/pause/" not in page
    assert "New job" not in sign_in(carol).get(JOBS).content.decode()
