"""Queues of pools for operators, with acts on them; and a tenant's own waiting requests."""

from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.problem import bad_request, redis_or_503
from console.api.resource import Resource, Who
from console.api.strict_input import Shape
from console.serving.queue_lines import (
    About,
    Done,
    cancel_requests,
    lower_requests,
    queue_of,
)
from console.usage.own_queue import explained_lines
from inference.models import Pool
from inference.models.served import LONGEST_NAME
from inference.queue_control.of_tenant import Reason
from tenants.models import Tenant
from tenants.roles import Permission as P

_CLASS = "Class of work: realtime, batch, finetune or preprocess."
_P50, _P95 = "Median in ms, of the last five minutes.", "95th percentile in ms."
_PARKED = "Waiting requests that gave their slots to a higher class."
_PREEMPTIONS = "Preemptions of requests that ended in the last five minutes."


class TenantLineShape(Shape):
    tenant = s.CharField()
    waiting = s.IntegerField(source="line.waiting")
    oldest_s = s.FloatField(source="line.oldest_s", allow_null=True)
    wait_p50_ms = s.IntegerField(source="waits.p50", allow_null=True, help_text=_P50)
    wait_p95_ms = s.IntegerField(source="waits.p95", allow_null=True, help_text=_P95)
    running = s.IntegerField(source="line.running")
    parked = s.IntegerField(source="line.parked", help_text=_PARKED)
    preemptions = s.IntegerField(source="waits.preempted", help_text=_PREEMPTIONS)


class ClassShape(Shape):
    name = s.CharField(source="of.name", help_text=_CLASS)
    waiting = s.IntegerField(source="of.waiting")
    oldest_s = s.FloatField(source="of.oldest_s", allow_null=True)
    expected_wait_ms = s.IntegerField(
        source="of.wait_ms", help_text="Expected wait of one more request; 0 if unknown."
    )
    wait_p50_ms = s.IntegerField(source="waits.p50", allow_null=True, help_text=_P50)
    wait_p95_ms = s.IntegerField(source="waits.p95", allow_null=True, help_text=_P95)
    running = s.IntegerField(source="of.running")
    parked = s.IntegerField(source="of.parked", help_text=_PARKED)
    preemptions = s.IntegerField(source="waits.preempted", help_text=_PREEMPTIONS)
    tenants = TenantLineShape(many=True, source="lines", help_text="The longest lines first.")
    more_tenants = s.IntegerField(source="of.more", help_text="Waiting, but not listed.")


class QueueShape(Shape):
    waiting = s.IntegerField()
    running = s.IntegerField()
    classes = ClassShape(many=True, help_text="The highest first.")
    EXAMPLE = {
        "waiting": 12,
        "running": 64,
        "classes": [
            {
                "name": "batch",
                "waiting": 12,
                "oldest_s": 4.2,
                "expected_wait_ms": 1800,
                "wait_p50_ms": 900,
                "wait_p95_ms": 4100,
                "running": 64,
                "parked": 1,
                "preemptions": 7,
                "tenants": [
                    {
                        "tenant": "acme",
                        "waiting": 12,
                        "oldest_s": 4.2,
                        "wait_p50_ms": 900,
                        "wait_p95_ms": 4100,
                        "running": 40,
                        "parked": 1,
                        "preemptions": 7,
                    }
                ],
                "more_tenants": 0,
            }
        ],
    }


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
    needs = {"retrieve": Who.OPERATOR, "lower": Who.OPERATOR, "cancel": Who.OPERATOR}
    shape = QueueShape
    takes = {"lower": LowerShape, "cancel": AboutShape}
    gives = {"lower": DoneShape, "cancel": DoneShape}
    volatile = ("waiting", "running", "classes")

    def retrieve(self, request: Any, pool: UUID) -> Response:
        """Show the waiting requests of a pool, by class and tenant."""
        row = self._pool(pool)
        return self.respond(redis_or_503(lambda: queue_of(row.name)))

    def lower(self, request: Any, pool: UUID) -> Response:
        """Move a waiting request, or those of a tenant in a class, to a lower class.

        Up to 500 at once, the first in the queue. Price and deadline stay.
        """
        row, fields = self._pool(pool), self.body()
        about = _about(fields)
        try:
            return _done(
                redis_or_503(lambda: lower_requests(row, about, fields["to"], by=self.actor))
            )
        except ValidationError as problem:
            raise bad_request({"to": problem.messages}) from None

    def cancel(self, request: Any, pool: UUID) -> Response:
        """Cancel a waiting request, or those of a tenant in a class.

        Up to 100 at once, the first in the queue. Their clients get a 403.
        """
        row, about = self._pool(pool), _about(self.body())
        return _done(redis_or_503(lambda: cancel_requests(row, about, by=self.actor)))

    def _pool(self, pool: UUID) -> Pool:
        row: Pool = self.get_or_404(Pool.objects.all(), pk=pool)
        return row


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


class CauseShape(Shape):
    reason = s.ChoiceField(Reason.values)
    text = s.CharField(source="reason.label")
    advice = s.CharField()


class OwnLineShape(Shape):
    pool = s.CharField(source="line.pool", max_length=LONGEST_NAME)
    work_class = s.CharField(source="line.klass", help_text=_CLASS)
    waiting = s.IntegerField(source="line.waiting")
    weight = s.IntegerField(source="line.weight", help_text="Weight of the tenant's turns.")
    causes = CauseShape(many=True, help_text="The most important first.")
    requests = OwnRequestShape(many=True, source="line.requests", help_text="The first 50.")
    EXAMPLE = {
        "pool": "here",
        "work_class": "realtime",
        "waiting": 1,
        "weight": 1,
        "causes": [
            {
                "reason": "full",
                "text": "Every slot is busy, or the last free ones are kept for others who may "
                "come.",
                "advice": "Send large batches at a quieter time.",
            }
        ],
        "requests": [
            {
                "id": "0192e6a0-5d0b-7c6e-9f6e-1f2a3b4c5d6e",
                "position": 3,
                "own_before": 0,
                "expected_wait_ms": 1200,
                "waited_s": 0.8,
                "had_begun": False,
                "parked": False,
            }
        ],
    }


class OwnQueueShape(Shape):
    results = OwnLineShape(many=True)
    EXAMPLE = {"results": [OwnLineShape.EXAMPLE]}


class OwnQueue(Resource):
    needs = {"show": P.VIEW_REQUESTS}
    shape = OwnQueueShape

    def show(self, request: Any, tenant: str) -> Response:
        """Show the tenant's waiting requests, their positions, and the causes of their wait."""
        lines = redis_or_503(lambda: explained_lines(self.url_tenant))
        return Response(OwnQueueShape({"results": lines}).data)
