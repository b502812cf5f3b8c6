"""Jobs of all tenants, for operators: what they take, without names of models and data."""

import django_filters as f
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers as s

from console.api.acts import Who, calling, listing, showing
from console.api.jobs.figures import MOVING, JobFigures, JobFilter
from console.api.resource import Resource
from inference.models import Job
from inference.models.job import WrongState


class AnyJobShape(JobFigures):
    """A job of any tenant."""

    tenant = s.CharField(source="tenant.name")
    EXAMPLE = {**JobFigures.EXAMPLE, "tenant": "acme"}


class AnyJobFilter(JobFilter):
    tenant = f.CharFilter(field_name="tenant__name", max_length=60)
    pool = f.CharFilter(max_length=120)


class AllJobs(Resource):
    shape = AnyJobShape
    volatile = MOVING
    refusals = {WrongState: (409, "conflict", _("The state of the job does not allow this."))}

    def rows(self) -> QuerySet[Job]:
        return Job.objects.select_related("tenant")

    list = listing(Who.OPERATOR, "List the jobs of all tenants.", asks=AnyJobFilter)
    retrieve = showing(Who.OPERATOR, "Show the state and the progress of a job of any tenant.")
    pause = calling("pause", Who.OPERATOR, "Pause a job of any tenant after its present step.")
    resume = calling("resume", Who.OPERATOR, "Resume a paused job of any tenant.")
    cancel = calling("cancel", Who.OPERATOR, "Cancel a job of any tenant for good.")
