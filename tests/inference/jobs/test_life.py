"""A job from its creation to its end: states, events, curves, checkpoints, result and bill."""

from pathlib import Path
from uuid import uuid4

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from audit.models import DeletionRequest, DeletionState, Event
from inference import engines
from inference.engine_entries import EngineEntry
from inference.jobs.job_checkpoint_versions import NoFiles, register_checkpoint
from inference.jobs.on_host.work_folder import remove_left_behind
from inference.metrics import work
from inference.model_registry import opening
from inference.model_registry.importing import import_all
from inference.models import (
    Checkpoint,
    Completion,
    Job,
    JobCheckpoint,
    JobEvent,
    JobMetric,
    JobState,
    ModelVersion,
    VersionKind,
    VersionState,
)
from inference.personal_data.jobs import exported
from tenants.models import LedgerEntry, Price
from tests.inference.jobs.works import LINES, Works, in_database, rows


async def test_a_job_succeeds_and_registers_what_it_made(works: Works) -> None:
    job = await works.create(steps=6, suffix="Support Team")
    assert job.state == JobState.VALIDATING
    await works.drive()
    assert (await works.reaches(job, "queued")).validated_at
    works.start()
    job = await works.reaches(job, "succeeded")
    version = await in_database(ModelVersion.objects.get)(pk=job.result_version_id)
    assert (str(version), version.kind) == ("tiny-support-team@1", VersionKind.ADAPTER)
    assert version.licence == "mit"
    assert (await in_database(version.parents.get)()).name == "tiny"
    assert job.result == {"steps": 6, "model": "tiny-support-team@1"}
    assert (job.done, job.of, job.tokens, job.time_left) == (6, 6, 600, None)


async def test_its_base_stays_on_the_host_as_long_as_it_runs(
    works: Works, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "RECENT_S", -1)
    job = await works.create(steps=1000, step_s=0.1)
    works.start()
    await works.reaches(job, "running", step=1)
    settings.MODEL_COPIES_BYTES = 0
    with pytest.raises(opening.NoRoom):
        await in_database(opening.make_room)(0)
    await works.act(job, "cancel")
    await works.reaches(job, "cancelled", order=False)
    await in_database(opening.make_room)(0)


async def test_a_calibrator_of_scores_is_registered(works: Works) -> None:
    job = await works.create("score", calibrate="platt")
    works.start()
    job = await works.reaches(job, "succeeded")
    version = await in_database(ModelVersion.objects.get)(pk=job.result_version_id)
    assert (str(version), version.kind) == ("tiny-calibrator@1", VersionKind.CALIBRATOR)
    assert (await in_database(version.parents.get)()).name == "tiny"
    assert job.result == {"steps": 6, "model": "tiny-calibrator@1"}


async def test_scores_without_a_calibrator_are_a_report_alone(works: Works) -> None:
    job = await works.create("score")
    works.start()
    job = await works.reaches(job, "succeeded")
    assert (job.result, job.result_version_id) == ({"steps": 6}, None)


async def test_its_curves_checkpoints_and_log_can_be_read(works: Works) -> None:
    stored, job = work.CHECKPOINTS.of("fine-tune"), await works.create(steps=6, save_every=2)
    before = stored.value
    works.start()
    await works.reaches(job, "succeeded")
    points = await rows(JobMetric.objects.filter(job=job).since(0))
    assert [(p.step, p.train_loss) for p in points] == [(n, 5 / n) for n in range(1, 7)]
    assert [p.learning_rate for p in points] == [4e-4 * (1 - n / 6) for n in range(1, 7)]
    assert 0 < points[0].active_ms <= points[-1].active_ms
    assert [p.held_out_loss for p in points] == [None, 3, None, 1.5, None, 1]
    later = await rows(JobMetric.objects.filter(job=job).since(points[3].pk))
    assert [p.step for p in later] == [5, 6]
    checkpoints = await rows(JobCheckpoint.objects.filter(job=job).order_by("step"))
    assert checkpoints[-1].step == 6
    assert stored.value - before == len(checkpoints)
    assert checkpoints[-1].held_out_loss == 1
    assert {name for name, *_ in checkpoints[-1].files} >= {
        "step-000006/state.json",
        "step-000006/weights.safetensors",
    }
    codes = await rows(
        JobEvent.objects.filter(job=job).order_by("id").values_list("code", flat=True)
    )
    assert codes == ["started", "registered"]


async def test_a_checkpoint_becomes_a_version_that_serves(works: Works) -> None:
    job = await works.create(steps=6, save_every=2)
    works.start()
    await works.reaches(job, "succeeded")
    checkpoints = await rows(
        JobCheckpoint.objects.filter(job=job).select_related("job").order_by("step")
    )
    for _ in range(2):  # again is the same
        version = await in_database(register_checkpoint)(checkpoints[0], by="test")
        name = f"tiny-fine-tune-step-{checkpoints[0].step}@1"
        assert (str(version), version.kind) == (name, VersionKind.ADAPTER)
    checkpoints[0].files = []
    with pytest.raises(NoFiles):
        await in_database(register_checkpoint)(checkpoints[0], by="test")


async def checkpoints_of_models(works: Works, kind: str = "fine-tune") -> list[JobCheckpoint]:
    earlier = {"teacher": 4} if kind == "distil" else {}
    job = await works.create(kind, steps=6, save_every=2, method="full", **earlier)
    works.start()
    await works.reaches(job, "succeeded")
    checkpoints = JobCheckpoint.objects.filter(job=job).select_related("job")
    return await rows(checkpoints.order_by("step"))


def imported(version: ModelVersion) -> ModelVersion:
    for thread in import_all():
        thread.join(60)
    version.refresh_from_db()
    return version


@pytest.mark.parametrize(("kind", "made"), [("fine-tune", "full"), ("distil", "distilled")])
async def test_a_checkpoint_of_a_whole_model_becomes_a_version_in_the_background(
    works: Works, kind: str, made: str
) -> None:
    checkpoint = (await checkpoints_of_models(works, kind))[-1]
    version = await in_database(register_checkpoint)(checkpoint, by="test")
    assert (version.state, version.kind) == (VersionState.IMPORTING, made)
    again = await in_database(register_checkpoint)(checkpoint, by="test")
    assert again == version
    version = await in_database(imported)(version)
    assert (version.state, version.problem) == (VersionState.READY, "")
    assert str(version) == f"tiny-{kind}-step-{checkpoint.step}@1"
    assert version.licence == "mit"
    assert (await in_database(version.parents.get)()).name == "tiny"
    files = await rows(version.files.values_list("name", flat=True))
    assert files == ["config.json", "model.safetensors"]
    assert await in_database(register_checkpoint)(checkpoint, by="test") == version


async def test_a_checkpoint_whose_files_go_before_its_import_is_told(works: Works) -> None:
    checkpoint = (await checkpoints_of_models(works))[-1]
    version = await in_database(register_checkpoint)(checkpoint, by="test")
    checkpoint.files = []
    await in_database(checkpoint.save)()
    version = await in_database(imported)(version)
    assert version.state == VersionState.FAILED
    assert version.problem == "the checkpoint has no files any more"


async def test_a_checkpoint_over_files_of_an_erased_person_becomes_a_marked_version(
    works: Works,
) -> None:
    job = await works.create(steps=6, save_every=2)
    works.start()
    await works.reaches(job, "succeeded")
    checkpoints = await rows(
        JobCheckpoint.objects.filter(job=job).select_related("job").order_by("step")
    )
    await in_database(DeletionRequest.objects.create)(
        tenant_id=job.tenant_id,
        subject_id=job.data_subjects[0],
        state=DeletionState.DONE,
        requested_at=timezone.now(),
        due_at=timezone.now(),
    )
    version = await in_database(register_checkpoint)(checkpoints[0], by="test")
    await in_database(version.refresh_from_db)()
    assert "person who was erased" in version.marked_reason


async def test_each_act_is_on_record(works: Works) -> None:
    job = await works.create(steps=2)
    works.start()
    await works.reaches(job, "succeeded")
    events = Event.objects.filter(detail__job=job.public_id).order_by("id")
    actions = await rows(events.values_list("action", "actor"))
    assert actions == [("job:create", job.actor), ("job:succeed", "platform")]


async def test_the_bill_is_the_time_up_to_each_checkpoint(works: Works) -> None:
    await in_database(Price.set)(works.bench.pool, 0, 0, 0, gpu_hour=36, by="test")
    job = await works.create(steps=4, step_s=0.3, save_every=2)
    works.start()
    job = await works.reaches(job, "succeeded")
    gpu_ms, cost = await works.bill()
    assert (job.gpu_ms, job.cost) == (gpu_ms, cost)
    assert 1_000 <= gpu_ms <= 20_000
    assert cost == round(gpu_ms * 10_000 / 1000), "36 an hour is a cent a second"
    entry = await in_database(LedgerEntry.objects.get)(kind="settle")
    assert (entry.gpu_ms, entry.cost) == (gpu_ms, cost)
    assert not await in_database(Checkpoint.objects.exists)()
    assert not await in_database(Completion.objects.open().exists)()


async def test_each_process_of_the_trainer_pays_for_its_gpu(works: Works) -> None:
    job = await works.create(steps=4, step_s=0.3, save_every=2, processes=3)
    works.start()
    job = await works.reaches(job, "succeeded")
    assert (job.gpu_ms, job.cost) == await works.bill()
    assert job.gpu_ms >= 3 * 4 * 300


async def test_without_memory_the_kernel_ends_the_trainer_first(works: Works) -> None:
    job = await works.create(steps=2, oom=str(works.folder / "oom"))
    works.start()
    await works.reaches(job, "succeeded")
    own = int(Path("/proc/self/oom_score_adj").read_text())
    assert int((works.folder / "oom").read_text()) >= max(own, 800)


async def test_its_person_gets_the_texts_of_it_with_their_data(works: Works) -> None:
    job = await works.create(suffix="Support Team", metadata={"ticket": "T-7"})
    (row,) = await in_database(lambda: list(exported(job.tenant_id, job.subject_id)))()
    assert row["id"] == job.public_id
    assert (row["suffix"], row["metadata"]) == ("Support Team", {"ticket": "T-7"})


async def test_nothing_of_it_stays_on_the_workers_disk(works: Works) -> None:
    job = await works.create(steps=2)
    works.start()
    await works.reaches(job, "succeeded")
    await works.stop()
    assert not list((works.folder / "jobs").glob("*/"))


async def test_what_a_killed_worker_left_on_the_disk_goes_and_nothing_else(works: Works) -> None:
    """Its training data is in clear there."""
    dead = works.folder / "jobs" / uuid4().hex / uuid4().hex
    (dead / "data").mkdir(parents=True)
    (dead / "data/train.jsonl").write_bytes(LINES)
    job = await works.create(steps=1000, step_s=0.1, save_every=1000)
    works.start()
    await works.reaches(job, "running", step=1)
    assert not dead.parent.exists()
    remove_left_behind()  # as another worker does as it starts
    (living,) = (works.folder / "jobs").glob("*/*/data/train.jsonl")
    await works.act(job, "cancel")
    await works.reaches(job, "cancelled", order=False)
    await works.stop()
    assert not living.exists()


@pytest.mark.parametrize("kind", ["score", "prepare"])
async def test_the_trainer_itself_judges_task_sets_and_raw_data(works: Works, kind: str) -> None:
    """They have fields that no text to train on has."""
    owner = await in_database(works.owner)(works.bench.acme)
    line = b'{"prompt": "2+2=", "answer": "4"}\n'
    file = await in_database(works.file)(works.bench.acme, kind, owner, line)
    job = await works.create(kind, owner=owner, training_file=file)
    await works.reaches(job, "queued")


async def test_a_job_runs_in_a_pool_beside_engines_of_another_kind(works: Works) -> None:
    """Requests are prepared anew there, for the kind. A job says nothing to an engine."""
    fields = {"kind": "vllm", "url": "http://127.0.0.1:9/v1"}
    engines.put_in_force([EngineEntry(works.bench.pool, "another", "gpu-1", fields)])
    job = await works.create(steps=2)
    works.start()
    await works.reaches(job, "succeeded")
    engines.forget()


async def test_a_job_waits_for_its_turn_behind_other_work(works: Works) -> None:
    """Without a runner it is queued, and takes no GPU time."""
    job = await works.create(steps=2)
    job = await works.reaches(job, "queued")
    assert job.order_id
    assert await works.bill() == (0, 0)
    assert (await in_database(Job.objects.get)(pk=job.pk)).started_at is None
