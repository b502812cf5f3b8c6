"""Labels of metrics. Models, pools and engines are those of the registry."""

from http import HTTPStatus
from uuid import UUID

from django.conf import settings

from inference import classes
from inference.engines import all_queues, engines, in_force, lent
from infrastructure.metrics import Label

ROUTES = set[str]()  # each front end adds its own
FRONT_ENDS = ("http", "grpc", "chat", "playground", "batch")
CANCELLED = 499


FRONT_END = Label.of("front_end", *FRONT_ENDS)
ROUTE = Label("route", lambda: ROUTES)
MODEL = Label("model", lambda: in_force().served)
POOL = Label("pool", lambda: all_queues().keys())
ENGINE = Label("engine", lambda: {e.config.id for e in (*engines(), *lent())})
CLASS = Label("class", classes.names)
STATUS = Label.of("status", *(str(int(status)) for status in HTTPStatus), str(CANCELLED))
TENANT = Label("tenant", lambda: settings.METRICS_TENANTS)


def tenant(tenant_id: UUID | str) -> str:
    """Returns the id of a tenant in FOREBAY_METRICS_TENANTS; "" (no label) for others."""
    ids = settings.METRICS_TENANTS
    return text if ids and (text := str(tenant_id)) in ids else ""
