"""The usage pages, asked for again and again through Django's test client."""

import time
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Sum
from django.test import Client
from django.test.utils import CaptureQueriesContext

from bench.figures.progress import tell
from bench.figures.statistics import percentile
from inference.models import UsageDay
from tenants.models import Member, User

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


def times(owners: list[Member], rounds: int) -> list[dict[str, Any]]:
    """Returns the fields of `usage.Timing` for each page."""
    settings.ALLOWED_HOSTS = ["*"]
    operator = User.objects.create_user("operator@forebay.example", is_operator=True)
    timings = []
    for name, reader, url in _visits(_busiest(owners), operator):
        client = Client()
        client.force_login(reader, BACKEND)
        timings.append(_timed(name, client, url, rounds))
        tell(timings[-1])
    return timings


def _busiest(owners: list[Member]) -> Member:
    sums = UsageDay.objects.values("tenant").annotate(all=Sum("requests")).order_by("-all")
    return next(owner for owner in owners if owner.tenant_id == sums[0]["tenant"])


def _visits(owner: Member, operator: User) -> Iterator[tuple[str, User, str]]:
    mine, every = f"/console/t/{owner.tenant.name}/usage/", "/console/usage/"
    quarter = "range=custom&first={first}&last={last}"
    ends = UsageDay.objects.order_by("starts").first(), UsageDay.objects.order_by("-starts").first()
    assert ends[0]
    assert ends[1]
    quarter = quarter.format(first=ends[0].starts.date(), last=ends[1].starts.date())
    for part, by in (("range=24h", "key"), ("range=7d", "model"), ("range=30d", "key")):
        yield f"busiest tenant, {part}, by {by}", owner.user, f"{mine}?{part}&by={by}"
    yield "busiest tenant, 90 days, by key", owner.user, f"{mine}?{quarter}&by=key"
    yield "busiest tenant, 90 days, one model", owner.user, f"{mine}?{quarter}&model=model-1&by=key"
    for part, by in (("range=24h", "tenant"), ("range=7d", "tenant"), ("range=30d", "model")):
        yield f"platform, {part}, by {by}", operator, f"{every}?{part}&by={by}"
    for by in ("tenant", "key"):
        yield f"platform, 90 days, by {by}", operator, f"{every}?{quarter}&by={by}"
    yield "busiest tenant, overview", owner.user, f"/console/t/{owner.tenant.name}/"
    yield "platform, overview", operator, "/console/"


def _timed(name: str, client: Client, url: str, rounds: int) -> dict[str, Any]:
    pages, queries = [], []
    for _ in range(rounds):
        with CaptureQueriesContext(connection) as captured:
            started = time.perf_counter()
            answer = client.get(url)
            pages.append((time.perf_counter() - started) * 1000)
        assert answer.status_code == 200, answer.status_code
        queries.append(sum(float(query["time"]) for query in captured.captured_queries) * 1000)
    ordered = sorted(pages)
    return {
        "page": name,
        "p50": percentile(ordered, 50) or 0,
        "p95": percentile(ordered, 95) or 0,
        "sql_p50": percentile(sorted(queries), 50) or 0,
        "queries": len(captured.captured_queries),
        "kib": len(answer.content) / 1024,
    }
