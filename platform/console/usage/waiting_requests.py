"""Waiting requests, from Redis: the page of a tenant's with the causes of their wait, and counts.

The page tells no more about other tenants than each client learns as it joins the queue.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from redis import RedisError

from console.authorization import TenantRequest, permitted
from inference.engines import all_queues
from inference.queue.occupancy import occupancy
from inference.queue_control.overview import ends, oldest_s
from inference.queue_control.tenant_queue import OwnLine, WaitCause, causes, own_lines
from tenants.models import Tenant
from tenants.roles import Permission

_Line = tuple[int, float]  # requests, and the wait of the first one in seconds


@dataclass(frozen=True, slots=True)
class ExplainedLine:
    line: OwnLine
    causes: list[WaitCause]


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


def explained_lines(tenant: Tenant) -> list[ExplainedLine]:
    """Returns the lines of the pools in which the tenant has requests. Raises redis.RedisError."""
    running = tenant.completions.open().exclude(pool="").order_by("pool")
    names = running.values_list("pool", flat=True).distinct()
    return [ExplainedLine(line, causes(line)) for line in own_lines(str(tenant.pk), names)]


@dataclass(frozen=True, slots=True)
class WaitingCount:
    requests: int
    oldest_s: float | None  # None: none waits


def waiting(tenant: Tenant | None) -> WaitingCount | None:
    """Returns the waiting requests of a tenant, or of all; None if Redis is unavailable."""
    try:
        lines = list(_tenant_lines(tenant) if tenant else _platform_lines())
    except RedisError:
        return None
    requests = sum(number for number, _oldest in lines)
    return WaitingCount(requests, max(oldest for _n, oldest in lines) if requests else None)


def _platform_lines() -> Iterator[_Line]:
    for pool, full in occupancy(all_queues()).items():
        for line in full.by_class:
            tenants = [name for name, _tokens in ends(pool, line.name)]
            yield line.waiting, oldest_s(pool, line.name, tenants)


def _tenant_lines(tenant: Tenant) -> Iterator[_Line]:
    names = tenant.completions.open().exclude(pool="").order_by().values_list("pool", flat=True)
    for line in own_lines(str(tenant.pk), names.distinct(), most=1):
        yield line.waiting, max((each.waited_s or 0.0 for each in line.requests), default=0.0)
