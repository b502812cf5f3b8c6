"""All that the page of one job shows beside its row, each part read when it is shown."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

from console.jobs import curves, log_words, reasons, words
from console.jobs.waiting import Wait, times_preempted, wait_of
from console.trail.actors import Actors
from inference.jobs.planning.plans import TRAINING
from inference.models import (
    DataSetState,
    DataSetVersion,
    Job,
    JobCheckpoint,
    JobEvent,
    JobMetric,
    JobState,
    ModelVersion,
    VersionKind,
)
from tenants.models import Tenant

MOST = 50  # events, checkpoints, problems
MOST_FIGURES = 40


class CheckpointEntry(NamedTuple):
    row: JobCheckpoint
    version: ModelVersion | None  # that was made of it


class Particulars:
    def __init__(self, job: Job, tenant: Tenant) -> None:
        self._job, self._tenant = job, tenant

    # What it does --------------------------------------------------------------------------------
    @property
    def task(self) -> str:
        return str(words.KINDS[self._job.kind])

    @property
    def creator(self) -> str:
        return Actors.among([self._job.actor], self._tenant).name(self._job.actor)

    @property
    def parameters(self) -> list[tuple[str, str]]:
        return words.parameter_lines(self._job.parameters)

    @cached_property
    def base(self) -> ModelVersion | None:
        return self._version(self._job.base_version_id)

    @cached_property
    def data_set(self) -> DataSetVersion | None:
        return self._data_set(self._job.data_set_version_id)

    @property
    def draws_curves(self) -> bool:
        return self._job.kind in TRAINING

    @cached_property
    def points(self) -> list[JobMetric]:
        return curves.table(self._job)

    # How it stands -------------------------------------------------------------------------------
    @property
    def state(self) -> str:
        return str(words.STATES[JobState(self._job.state)])

    @property
    def advice(self) -> reasons.Advice | None:
        """Returns why it is paused or has failed, and what to do."""
        return reasons.advice(self._job.reason) if self._job.reason else None

    @cached_property
    def problems(self) -> list[tuple[int | None, str]]:
        """Returns lines of the data, where they have a number, and what is wrong."""
        chosen = self._job.problems[:MOST]
        return [(one.get("line"), log_words.in_words(str(one.get("message")))) for one in chosen]

    @cached_property
    def wait(self) -> Wait | None:
        return wait_of(self._job)

    @property
    def times_preempted(self) -> int:
        return times_preempted(self._job)

    # What it made --------------------------------------------------------------------------------
    @cached_property
    def result(self) -> ModelVersion | None:
        return self._version(self._job.result_version_id)

    @property
    def is_adapter(self) -> bool:
        return bool(self.result and self.result.kind == VersionKind.ADAPTER)

    @cached_property
    def result_data_set(self) -> DataSetVersion | None:
        return self._data_set(self._job.result_data_set_version_id)

    @property
    def figures(self) -> list[tuple[str, str]]:
        return list(_figures(self._job.result or {}))[:MOST_FIGURES]

    @cached_property
    def checkpoints(self) -> list[CheckpointEntry]:
        rows = JobCheckpoint.objects.filter(job=self._job).order_by("-step")[:MOST]
        own = ModelVersion.objects.of(self._tenant.pk).present().filter(made_by_job=self._job.pk)
        made = {version.name.rpartition("-step-")[2]: version for version in own}
        return [CheckpointEntry(row, made.get(str(row.step))) for row in rows]

    @property
    def events(self) -> list[tuple[JobEvent, str]]:
        rows = JobEvent.objects.filter(job=self._job).order_by("-id")[:MOST]
        return [(row, log_words.in_words(row.message)) for row in rows]

    def _version(self, pk: Any) -> ModelVersion | None:
        return ModelVersion.objects.visible_to(self._tenant.pk).listed().filter(pk=pk).first()

    def _data_set(self, pk: Any) -> DataSetVersion | None:
        rows = DataSetVersion.objects.filter(tenant=self._tenant, data_set__deleted_at=None)
        rows = rows.exclude(state=DataSetState.DELETED).select_related("data_set")
        return rows.filter(pk=pk).first()


def _figures(result: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yields names and numbers of a report, also of its parts."""
    for name, value in result.items():
        label = f"{prefix}{name}".replace("_", " ")
        if isinstance(value, dict):
            yield from _figures(value, f"{label}: ")
        elif isinstance(value, float):
            yield label, f"{value:.4g}"
        elif isinstance(value, int | str):
            yield label, f"{value:,}" if type(value) is int else str(value)[:200]
