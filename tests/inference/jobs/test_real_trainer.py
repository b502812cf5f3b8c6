"""Jobs with the real trainer, where PyTorch is (make test-models)."""

import json
import os
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from pytest_django.fixtures import Settings

from inference.jobs.job_checkpoint_versions import register_checkpoint
from inference.model_registry.registering import register
from inference.models import (
    DataSet,
    DataSetVersion,
    Job,
    JobCheckpoint,
    JobMetric,
    ModelVersion,
    VersionKind,
)
from inference.personal_data import data_sets
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.inference.data_sets.conftest import chat, jsonl, uploaded
from tests.inference.jobs.works import Works, in_database, rows
from tests.trainer.tiny_model import SENTENCES, write_tiny_model

PYTORCH = os.environ.get("FOREBAY_TEST_MODELS")
pytestmark = [
    pytest.mark.skipif(not PYTORCH, reason="needs PyTorch: make test-models runs it"),
    pytest.mark.slow(seconds=900),
    pytest.mark.timeout(3600),
]
SHORT = {"batch": 2, "length": 32}
ADAPTER_FILES = {"adapter.gguf", "adapter_config.json", "adapter_model.safetensors"}


@pytest.fixture
async def tiny(works: Works, settings: Settings, tmp_path: Path) -> Works:
    """The real trainer, and the base `tiny-real` in the registry."""
    settings.TRAINER_PYTHON, settings.TRAINER_THREADS = str(PYTORCH), 1
    await in_database(_registered)(write_tiny_model(tmp_path / "tiny-model"))
    return works


def _registered(folder: Path) -> None:
    register(tenant_id=None, name="tiny-real", folder=folder, kind=VersionKind.BASE, licence="mit")


async def test_a_job_is_paused_within_a_step_goes_on_and_registers_its_adapter(
    tiny: Works,
) -> None:
    parameters = {**SHORT, "epochs": 4, "rank": 4, "save_every": 2}
    job = await tiny.create(base="tiny-real", parameters=parameters, suffix="pages")
    tiny.start()
    await tiny.reaches(job, "running", step=2, seconds=1800)
    await tiny.act(job, "pause")
    await tiny.reaches(job, "paused", order=False, seconds=300)
    assert await in_database(JobCheckpoint.objects.filter(job=job).exists)()
    await tiny.act(job, "resume")
    job = await tiny.reaches(job, "succeeded", seconds=1800)
    assert await _result(job) == ("tiny-real-pages@1", VersionKind.ADAPTER, ADAPTER_FILES)
    points = await rows(JobMetric.objects.filter(job=job).order_by("step"))
    assert [point.step for point in points] == list(range(job.of + 1))
    assert [point.step for point in points if point.train_loss is None] == [0]
    assert (job.gpu_ms, job.cost) == await tiny.bill()


async def test_it_goes_on_after_the_erasure_of_a_person_in_its_data_set(tiny: Works) -> None:
    acme, person = tiny.bench.acme, uuid4()
    version = await in_database(_data_set)(acme, person)
    parameters = {**SHORT, "epochs": 40, "rank": 4, "patience": 0}
    job = await tiny.create(
        base="tiny-real", data_set_version=version, training_file=None, parameters=parameters
    )
    tiny.start()
    await tiny.reaches(job, "running", step=2, seconds=1800)
    await tiny.act(job, "pause")
    paused = await tiny.reaches(job, "paused", order=False, seconds=300)
    await in_database(_erased)(acme, person)
    await tiny.act(job, "resume")
    job = await tiny.reaches(job, "succeeded", seconds=1800)
    assert 2 <= paused.done < job.done < paused.of
    codes = await rows(job.events.order_by("id").values_list("code", flat=True))
    assert "fewer_rows" in codes
    made = await in_database(ModelVersion.objects.get)(pk=job.result_version_id)
    assert made.marked_at


def _data_set(tenant: Tenant, person: UUID) -> DataSetVersion:
    """Half of its rows are the person's."""
    lines = [chat(f"what is {n}", f"it is {n}", person=str(person)) for n in range(10)]
    lines += [chat(f"where is {n}", f"it is at {n}") for n in range(10)]
    with tenant_scope(tenant.pk):
        data_set = DataSet.create(tenant, "set", uuid4(), by="test")
    return uploaded(data_set, jsonl(lines))


def _erased(tenant: Tenant, person: UUID) -> None:
    with tenant_scope(tenant.pk):
        assert data_sets.erase(tenant.pk, person)["rows"] == 10


async def test_a_checkpoint_of_it_becomes_an_adapter(tiny: Works) -> None:
    parameters = {**SHORT, "epochs": 1, "save_every": 2}
    job = await tiny.create(base="tiny-real", parameters=parameters)
    tiny.start()
    await tiny.reaches(job, "succeeded", seconds=1800)
    newest = JobCheckpoint.objects.filter(job=job).select_related("job").order_by("-step").first
    version = await in_database(register_checkpoint)(await in_database(newest)(), by="test")
    assert version.kind == VersionKind.ADAPTER
    assert await _files(version.pk) >= ADAPTER_FILES - {"adapter.gguf"}


MADE: dict[str, tuple[str, dict[str, Any], str, VersionKind, set[str]]] = {
    "an adapter of texts": (
        "pretrain", {**SHORT, "epochs": 1}, "pretrain", VersionKind.ADAPTER, ADAPTER_FILES,
    ),
    "all weights": (
        "fine-tune", {**SHORT, "epochs": 1, "method": "full"}, "fine-tune", VersionKind.FULL,
        {"model.safetensors", "config.json", "tokenizer.json"},
    ),
    "a smaller model": (
        "distil", {**SHORT, "epochs": 1, "layers": 2}, "distil", VersionKind.DISTILLED,
        {"model.safetensors", "config.json", "tokenizer.json"},
    ),
    "eight bits for llama.cpp": (
        "quantise", {"format": "q8_0"}, "quantise", VersionKind.QUANTISED, {"model.gguf"},
    ),
    "eight bits for vLLM": (
        "quantise", {"format": "int8", "embedding": "twice"}, "quantise", VersionKind.QUANTISED,
        {"model.safetensors", "config.json", "tokenizer.json"},
    ),
    "another format": (
        "convert", {"to": "gguf", "dtype": "f16"}, "convert", VersionKind.BASE, {"model.gguf"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MADE)
async def test_a_kind_of_job_registers_what_it_makes(tiny: Works, case: str) -> None:
    kind, parameters, name, made, files = MADE[case]
    job = await tiny.create(kind, base="tiny-real", parameters=parameters)
    tiny.start()
    job = await tiny.reaches(job, "succeeded", seconds=1800)
    label, version_kind, names = await _result(job)
    assert (label, version_kind) == (f"tiny-real-{name}@1", made)
    assert names >= files
    assert (job.gpu_ms, job.cost) == await tiny.bill()


TASKS: dict[str, list[dict[str, Any]]] = {
    "texts": [{"text": sentence} for sentence in SENTENCES],
    "choices": [
        {"prompt": "the workers run", "choices": ["them in order", "away"], "answer": n % 2}
        for n in range(4)
    ],
    "answers": [{"prompt": "the workers run", "answer": "them"}],
}


@pytest.mark.parametrize("tasks", TASKS)
async def test_a_base_is_scored_on_a_file_of_tasks(tiny: Works, tasks: str) -> None:
    lines = b"".join(json.dumps(each).encode() + b"\n" for each in TASKS[tasks])
    owner = await in_database(tiny.owner)(tiny.bench.acme)
    file = await in_database(tiny.file)(tiny.bench.acme, "score", owner, lines)
    job = await tiny.create(
        "score", base="tiny-real", owner=owner, training_file=file, parameters={"length": 64}
    )
    tiny.start()
    job = await tiny.reaches(job, "succeeded", seconds=1800)
    report = _report(job)
    assert report["items"] == len(TASKS[tasks])
    assert report["figures"]


async def test_scores_are_calibrated_by_a_version_of_their_own(tiny: Works) -> None:
    """One part of the tasks fits it; the other one judges it."""
    owner = await in_database(tiny.owner)(tiny.bench.acme)
    lines = b"".join(json.dumps(each).encode() + b"\n" for each in TASKS["choices"] * 4)
    train, held_out = [
        await in_database(tiny.file)(tiny.bench.acme, "score", owner, lines) for _ in range(2)
    ]
    job = await tiny.create(
        "score", base="tiny-real", owner=owner, training_file=train, validation_file=held_out,
        parameters={"length": 64, "calibrate": "platt"},
    )  # fmt: skip
    tiny.start()
    job = await tiny.reaches(job, "succeeded", seconds=1800)
    assert await _result(job) == (
        "tiny-real-calibrator@1", VersionKind.CALIBRATOR, {"calibrator.json"},
    )  # fmt: skip
    assert _report(job)["calibrated"]


async def test_data_is_prepared_and_counted_in_a_bases_tokens(tiny: Works) -> None:
    job = await tiny.create("prepare", base="tiny-real", parameters={"deduplicate": False})
    tiny.start()
    job = await tiny.reaches(job, "succeeded", seconds=600)
    report = _report(job)
    assert report["documents"] == 5
    assert report["tokens"] > 0


def _report(job: Job) -> dict[str, Any]:
    report: dict[str, Any] = job.result or {}
    return report


async def _result(job: Job) -> tuple[str, str, set[str]]:
    version = await in_database(ModelVersion.objects.get)(pk=job.result_version_id)
    return str(version), version.kind, await _files(version.pk)


async def _files(version: Any) -> set[str]:
    version = await in_database(ModelVersion.objects.get)(pk=version)
    return set(await rows(version.files.values_list("name", flat=True)))
