"""Jobs with the real trainer, where PyTorch is (make test-models)."""

import os
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from inference.model_registry.registering import register
from inference.models import JobCheckpoint, JobMetric, ModelVersion, VersionKind
from tests.inference.jobs.works import Works, in_database, rows
from tests.trainer.tiny_model import write_tiny_model

PYTORCH = os.environ.get("FOREBAY_TEST_MODELS")
pytestmark = [
    pytest.mark.skipif(not PYTORCH, reason="needs PyTorch: make test-models runs it"),
    pytest.mark.slow(seconds=900),
]


@pytest.mark.timeout(3600)
async def test_a_job_is_paused_within_a_step_goes_on_and_registers_its_adapter(
    works: Works, settings: Settings, tmp_path: Path
) -> None:
    settings.TRAINER_PYTHON, settings.TRAINER_THREADS = str(PYTORCH), 1
    folder = write_tiny_model(tmp_path / "tiny-model")
    await in_database(_registered)(folder)
    parameters = {"epochs": 4, "batch": 2, "length": 32, "rank": 4, "save_every": 2}
    job = await works.create(base="tiny-real", parameters=parameters, suffix="pages")
    works.start()
    await works.reaches(job, "running", step=2, seconds=1800)
    await works.act(job, "pause")
    await works.reaches(job, "paused", order=False, seconds=300)
    assert await in_database(JobCheckpoint.objects.filter(job=job).exists)()
    await works.act(job, "resume")
    job = await works.reaches(job, "succeeded", seconds=1800)
    version = await in_database(ModelVersion.objects.get)(pk=job.result_version_id)
    assert (str(version), version.kind) == ("tiny-real-pages@1", VersionKind.ADAPTER)
    points = await rows(JobMetric.objects.filter(job=job).order_by("step"))
    assert [point.step for point in points] == list(range(1, job.of + 1))
    assert (job.gpu_ms, job.cost) == await works.bill()


def _registered(folder: Path) -> None:
    register(tenant_id=None, name="tiny-real", folder=folder, kind=VersionKind.BASE)
