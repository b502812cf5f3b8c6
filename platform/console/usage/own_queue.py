"""Page of a tenant's waiting requests and the causes of their wait.

It tells no more about other tenants than each client learns as it joins the queue.
"""

from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from redis import RedisError

from console.authorization import TenantRequest, permitted
from inference.queue_control.of_tenant import Cause, OwnLine, causes, own_lines
from tenants.models import Tenant
from tenants.roles import Permission


@dataclass(frozen=True, slots=True)
class Explained:
    line: OwnLine
    causes: list[Cause]


@permitted(Permission.VIEW_REQUESTS)
def own_queue(request: TenantRequest) -> HttpResponse:
    return render(request, "console/own_queue/page.html", _context(request.tenant))


@permitted(Permission.VIEW_REQUESTS)
def live(request: TenantRequest) -> HttpResponse:
    return render(request, "console/own_queue/_lines.html", _context(request.tenant))


def _context(tenant: Tenant) -> dict[str, Any]:
    try:
        return {"lines": explained_lines(tenant)}
    except RedisError:
        return {}


def explained_lines(tenant: Tenant) -> list[Explained]:
    """Returns the lines of the pools in which the tenant has requests. Raises redis.RedisError."""
    pools = tenant.completions.open().exclude(pool="").order_by("pool")
    names = pools.values_list("pool", flat=True).distinct()
    return [Explained(line, causes(line)) for line in own_lines(str(tenant.pk), names)]
