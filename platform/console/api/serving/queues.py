"""Queues of pools for operators, with acts on them; and a tenant's own waiting requests."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.acts import Act, Who, shape_of
from console.api.problem import bad_request
from console.api.resource import Resource
from console.api.strict_input import Shape
from console.serving.queue_lines import (
    About,
    Done,
    cancel_requests,
    lower_requests,
    queue_of,
)
from console.usage.waiting_requests import explained_lines
from inference.models import Pool
from inference.models.served import LONGEST_NAME
from inference.queue_control.tenant_queue import Reason
from tenants.models import Tenant
from tenants.roles import Permission as P

_CLASS = "Class of work: realtime, batch, finetune, preprocess or evaluation."
_PARKED = "Waiting requests that gave their slots to a higher class."


class WaitsShape(Shape):
    wait_p50_ms = s.IntegerField(
        source="waits.p50", allow_null=True, help_text="Median in ms, of the last five minutes."
    )
    wait_p95_ms = s.IntegerField(
        source="waits.p95", allow_null=True, help_text="95th percentile in ms."
    )
    preemptions = s.IntegerField(
        source="waits.preempted",
        help_text="Preemptions of requests that ended in the last five minutes.",
    )


class TenantLineShape(WaitsShape):
    tenant = s.CharField()
    waiting = s.IntegerField(source="line.waiting")
    oldest_s = s.FloatField(source="line.oldest_s", allow_null=True)
    running = s.IntegerField(source="line.running")
    parked = s.IntegerField(source="line.parked", help_text=_PARKED)


class ClassShape(WaitsShape):
    name = s.CharField(source="of.name", help_text=_CLASS)
    waiting = s.IntegerField(source="of.waiting")
    oldest_s = s.FloatField(source="of.oldest_s", allow_null=True)
    expected_wait_ms = s.IntegerField(
        source="of.wait_ms", help_text="Expected wait of one more request; 0 if unknown."
    )
    running = s.IntegerField(source="of.running")
    parked = s.IntegerField(source="of.parked", help_text=_PARKED)
    tenants = TenantLineShape(many=True, source="lines", help_text="The longest lines first.")
    more_tenants = s.IntegerField(source="of.more", help_text="Waiting, but not listed.")
    EXAMPLE = {"name": "batch"}


class QueueShape(Shape):
    waiting = s.IntegerField()
    running = s.IntegerField()
    classes = ClassShape(many=True, help_text="The highest first.")


class AboutShape(Shape):
    """Describes waiting requests: send `request`, or `tenant` and `work_class`."""

    request = s.UUIDField(required=False, help_text="Id of a waiting request.")
    tenant = s.CharField(required=False, max_length=60, help_text="The tenant's name.")
    work_class = s.CharField(
        required=False, max_length=20, help_text="The class in which the tenant's requests wait."
    )
    EXAMPLE = {"tenant": "acme", "work_class": "realtime"}


class LowerShape(AboutShape):
    to = s.CharField(max_length=20, help_text="A class below the one in which they wait.")
    EXAMPLE = {"tenant": "acme", "work_class": "realtime", "to": "batch"}


class DoneShape(Shape):
    requests = s.IntegerField(help_text="Requests that were moved or cancelled.")
    left = s.IntegerField(help_text="Requests that still wait: repeat the call.")
    EXAMPLE = {"requests": 12, "left": 0}


class Queues(Resource):
    shape = QueueShape
    volatile = ("waiting", "running", "classes")

    def rows(self) -> QuerySet[Pool]:
        return Pool.objects.all()

    @Act(Who.OPERATOR)
    def retrieve(self, request: Any, **path: Any) -> Response:
        """Show the waiting requests of a pool, by class and tenant."""
        return self.respond(queue_of(self.row().name))

    @Act(Who.OPERATOR, takes=LowerShape, gives=DoneShape)
    def lower(self, request: Any, **path: Any) -> Response:
        """Move a waiting request, or those of a tenant in a class, to a lower class.

        Up to 500 at once, the first in the queue. Price and deadline stay.
        """
        row, fields = self.row(), self.body()
        about = _about(fields)
        try:
            return _done(lower_requests(row, about, fields["to"], by=self.actor))
        except ValidationError as problem:
            raise bad_request({"to": problem.messages}) from None

    @Act(Who.OPERATOR, takes=AboutShape, gives=DoneShape)
    def cancel(self, request: Any, **path: Any) -> Response:
        """Cancel a waiting request, or those of a tenant in a class.

        Up to 100 at once, the first in the queue. Their clients get a 403.
        """
        row, about = self.row(), _about(self.body())
        return _done(cancel_requests(row, about, by=self.actor))


def _about(fields: dict[str, Any]) -> About:
    """Returns the waiting requests that the body describes. Raises Problem."""
    request, name, klass = fields.get("request"), fields.get("tenant"), fields.get("work_class")
    if bool(request) == bool(name and klass) or (request and (name or klass)):
        raise bad_request({"": [_("Send either request, or tenant and work_class.")]})
    if request:
        return About(request=request)
    tenant = Tenant.objects.filter(name=name).first()
    if tenant is None:
        raise bad_request({"tenant": [_("There is no such tenant.")]})
    return About(tenant=tenant, klass=str(klass))


def _done(done: Done | None) -> Response:
    return Response(DoneShape(done or Done(0, 0)).data)


# A tenant's own ---------------------------------------------------------------------------------
class OwnRequestShape(Shape):
    id = s.CharField()
    position = s.IntegerField(help_text="Approximate position: 1 is next.")
    own_before = s.IntegerField(help_text="The tenant's own requests before it.")
    expected_wait_ms = s.IntegerField(source="wait_ms", help_text="0 if unknown.")
    waited_s = s.FloatField(allow_null=True)
    had_begun = s.BooleanField(source="requeued", help_text="Its worker died.")
    parked = s.BooleanField(help_text="It gave its slot to a higher class and resumes later.")
    EXAMPLE = {"id": "0192e6a0-5d0b-7c6e-9f6e-1f2a3b4c5d6e", "own_before": 0}


class CauseShape(Shape):
    reason = s.ChoiceField(Reason.values)
    text = s.CharField(source="reason.label")
    advice = s.CharField()
    EXAMPLE = {
        "reason": "full",
        "text": "Every slot is busy, or the last free ones are kept for others who may come.",
        "advice": "Send large batches at a quieter time.",
    }


class OwnLineShape(Shape):
    pool = s.CharField(source="line.pool", max_length=LONGEST_NAME)
    work_class = s.CharField(source="line.klass", help_text=_CLASS)
    waiting = s.IntegerField(source="line.waiting")
    weight = s.IntegerField(source="line.weight", help_text="Weight of the tenant's turns.")
    causes = CauseShape(many=True, help_text="The most important first.")
    requests = OwnRequestShape(many=True, source="line.requests", help_text="The first 50.")
    EXAMPLE = {"work_class": "realtime"}


class OwnQueue(Resource):
    shape = shape_of("OwnQueue", results=OwnLineShape(many=True))

    @Act(P.VIEW_REQUESTS)
    def show(self, request: Any, tenant: str) -> Response:
        """Show the tenant's waiting requests, their positions, and the causes of their wait."""
        return Response(self.shape({"results": explained_lines(self.url_tenant)}).data)
