"""Jobs of the trainer, of all kinds: creation, life, log, curves and checkpoints."""

from typing import Any

import django_filters as f
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.acts import Act, calling, listing, showing
from console.api.jobs.figures import MOVING, JobFigures, JobFilter
from console.api.jobs.owner import owner_of
from console.api.jobs.progress import CheckpointShape, JobEventShape, MetricShape, VersionMade
from console.api.problem import bad_request, first_or_404
from console.api.resource import Resource
from console.api.strict_input import Shape
from inference.jobs import creating
from inference.jobs.creating import Wanted
from inference.jobs.job_checkpoint_versions import NoFiles, NoWeights, register_checkpoint
from inference.jobs.refusals import JobRefused, NoRoom
from inference.model_registry.headers.header import BadFile
from inference.model_registry.room import RegistryFull
from inference.models import (
    DataSetVersion,
    File,
    Job,
    JobCheckpoint,
    JobEvent,
    JobKind,
    JobMetric,
)
from inference.models.job import WrongState
from infrastructure.objects.place import StoreError
from tenants.roles import Permission as P

_NO_ROOM = _("There is no room for it: delete versions that nobody needs.")
_NO_STORE = _("The store of files cannot be reached. Try again in a moment.")


class JobShape(JobFigures):
    problems = s.ListField(child=s.DictField(), help_text="With lines of the data, no texts.")
    base = s.CharField()
    parameters = s.DictField()
    seed = s.IntegerField()
    tokens = s.IntegerField()
    result = s.DictField(allow_null=True)
    version = s.UUIDField(source="result_version_id", allow_null=True)
    data_set_version = s.UUIDField(source="result_data_set_version_id", allow_null=True)
    EXAMPLE = {**JobFigures.EXAMPLE, "base": "smollm2@1"}


class NewJob(Shape):
    kind = s.ChoiceField(JobKind.choices)
    base = s.CharField(
        max_length=120,
        required=False,
        default="",
        help_text="A version of the registry, as `name@3` or `name`, or a served model.",
    )
    data_set_version = s.UUIDField(required=False, help_text="The id of a version.")
    training_file = s.CharField(
        max_length=40, required=False, help_text="An own file of `/v1/files`, of `fine-tune`."
    )
    validation_file = s.CharField(
        max_length=40, required=False, help_text="The held-out part, beside a training file."
    )
    parameters = s.DictField(required=False, default=dict, help_text="Of the trainer.")
    suffix = s.CharField(max_length=creating.SUFFIX, required=False, default="")
    seed = s.IntegerField(min_value=0, max_value=2**31 - 1, required=False)
    pool = s.CharField(max_length=120, required=False, default="", help_text="Whose GPUs it uses.")
    EXAMPLE = {"kind": "quantise", "base": "smollm2@1", "parameters": {"format": "q8_0"}}


class Jobs(Resource):
    shape = JobShape
    volatile = (
        *MOVING,
        *("problems", "tokens", "result", "version", "data_set_version"),
    )
    refusals = {
        WrongState: (409, "conflict", _("The state of the job does not allow this.")),
        NoRoom: (429, "no_room", ""),
        JobRefused: (400, "invalid_request", ""),
    }

    def rows(self) -> QuerySet[Job]:
        return Job.objects.filter(tenant=self.url_tenant)

    list = listing(P.VIEW_REQUESTS, "List a tenant's jobs.", asks=JobFilter)
    retrieve = showing(P.VIEW_REQUESTS, "Show the state and the progress of a job.")
    pause = calling("pause", P.MANAGE_KEYS, "Pause a job: it stops after its present step.")
    resume = calling("resume", P.MANAGE_KEYS, "Resume a paused job from its last checkpoint.")
    cancel = calling("cancel", P.MANAGE_KEYS, "Cancel a job for good; its checkpoints stay.")

    @Act(P.MANAGE_KEYS, takes=NewJob)
    def create(self, request: Any, **path: Any) -> Response:
        """Create a job of any kind. It is validated, then waits for a GPU."""
        fields = self.body()
        version = fields.pop("data_set_version", None)
        for name in ("training_file", "validation_file"):
            if file := fields.pop(name, None):
                fields[name] = self._file(file, name)
        wanted = Wanted(
            data_set_version=self._data_set_version(version) if version else None, **fields
        )
        return self.respond(creating.create(owner_of(self.who, self.url_tenant), wanted), 201)

    def _data_set_version(self, pk: Any) -> DataSetVersion:
        rows = DataSetVersion.objects.ready().filter(data_set__tenant=self.url_tenant)
        row: DataSetVersion = self.named(rows, "data_set_version", _("There is none."), pk=pk)
        return row

    def _file(self, file_id: str, field: str) -> File:
        """Returns a file of the caller's key."""
        rows = File.objects.whole().filter(tenant=self.url_tenant)
        rows = rows.of_key(self.who.key.pk) if self.who.key else rows.none()
        digits = file_id.removeprefix("file-")
        if len(digits) != 32 or any(c not in "0123456789abcdef" for c in digits):
            raise bad_request({field: [_("There is none.")]})
        file: File = self.named(rows, field, _("There is none."), pk=digits)
        return file


class _OfJob(Resource):
    """Serves the rows of one job, which is of the tenant."""

    def job(self) -> Job:
        return first_or_404(Job.objects.filter(tenant=self.url_tenant, pk=self.kwargs["job"]))


class JobEvents(_OfJob):
    shape = JobEventShape
    orderings = ("-id", "id")

    def rows(self) -> QuerySet[JobEvent]:
        return JobEvent.objects.filter(job=self.job())

    list = listing(P.VIEW_REQUESTS, "List the log of a job.")


class JobMetrics(_OfJob):
    shape = MetricShape
    orderings = ("id", "-id")

    def rows(self) -> QuerySet[JobMetric]:
        return JobMetric.objects.filter(job=self.job())

    list = listing(
        P.VIEW_REQUESTS,
        "List the points of a job's curves, also while it runs: `after` is the last one's id.",
        asks=type("MetricFilter", (f.FilterSet,), {"after": f.NumberFilter("id", "gt")}),
    )


class JobCheckpoints(_OfJob):
    shape = CheckpointShape
    refusals = {
        NoFiles: (409, "conflict", _("The checkpoint has no files any more.")),
        NoWeights: (409, "conflict", _("The checkpoint has no weights that serve.")),
        FileNotFoundError: (409, "conflict", _("The checkpoint has no files any more.")),
        BadFile: (409, "conflict", _("The files of the checkpoint cannot be registered.")),
        RegistryFull: (409, "registry_full", _NO_ROOM),
        StoreError: (503, "unavailable", _NO_STORE),
    }

    def rows(self) -> QuerySet[JobCheckpoint]:
        return JobCheckpoint.objects.filter(job=self.job()).select_related("job")

    list = listing(P.VIEW_REQUESTS, "List the checkpoints of a job.")

    @Act(P.MANAGE_KEYS, gives=VersionMade)
    def register(self, request: Any, tenant: str, job: Any, checkpoint: Any) -> Response:
        """Register the adapter or the model of a checkpoint as a version, which can be promoted.

        A model is copied in the background: poll the version until it is `ready` or `failed`.
        """
        row = self.named(self.rows(), "checkpoint", _("There is none."), pk=checkpoint)
        version = register_checkpoint(row, by=self.actor)
        return Response({"version": version.pk, "name": str(version)}, 200)
