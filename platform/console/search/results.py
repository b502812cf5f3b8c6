"""The results of the command palette: rows that the reader may see, a few of each kind.

A kind that the reader may not see is not asked for, and nothing is counted: neither the answer nor
its time says anything about other tenants' rows.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from inference.engines import served, served_to
from inference.models import Completion, Engine, Pool
from tenants.models import Tenant
from tenants.roles import Permission as P

MOST = 6  # of each kind
SHORTEST, LONGEST = 2, 100  # characters of a search


@dataclass(frozen=True, slots=True)
class Result:
    kind: str
    label: str
    url: str
    detail: str = ""

    @property
    def fields(self) -> dict[str, str]:
        return asdict(self)


Find = Callable[[Tenant, str], Iterator[Result]]


def in_tenant(tenant: Tenant, permissions: frozenset[P], text: str) -> list[Result]:
    """Returns what a member of the tenant with these permissions finds."""
    return [
        result
        for needed, find in _IN_TENANT
        if needed in permissions
        for result in find(tenant, text)
    ]


def in_platform(text: str) -> list[Result]:
    """Returns what an operator finds: tenants, models, pools, engines, and a request by its id."""
    return [result for find in _IN_PLATFORM for result in find(text)]


def _people(tenant: Tenant, text: str) -> Iterator[Result]:
    named = Q(user__email__icontains=text) | Q(user__name__icontains=text)
    rows = tenant.members.filter(named).select_related("user").order_by("user__email")
    for row in rows[:MOST]:
        yield _result(_("Person"), row.user, _at(tenant, "member", row.pk), row.user.email)


def _teams(tenant: Tenant, text: str) -> Iterator[Result]:
    for row in tenant.teams.filter(name__icontains=text).order_by("name")[:MOST]:
        yield _result(_("Team"), row.name, _at(tenant, "team", row.pk))


def _keys(tenant: Tenant, text: str) -> Iterator[Result]:
    public_id = text.removeprefix("sk-fb-")
    named = Q(name__icontains=text) | Q(public_id__startswith=public_id)
    for row in tenant.api_keys.live().filter(named).order_by("name")[:MOST]:
        yield _result(
            _("API key"), row.name, _at(tenant, "api_key", row.pk), f"sk-fb-{row.public_id}…"
        )


def _models(tenant: Tenant, text: str) -> Iterator[Result]:
    for name in _matching(served_to(tenant.pk), text):
        yield _result(_("Model"), name, f"{_at(tenant, 'usage')}?model={name}")


def _request(tenant: Tenant, text: str) -> Iterator[Result]:
    if (pk := _uuid(text)) and tenant.completions.filter(pk=pk).exists():
        yield _result(_("Request"), str(pk), _at(tenant, "request", pk))


_IN_TENANT: tuple[tuple[P, Find], ...] = (
    (P.VIEW_REQUESTS, _request),
    (P.VIEW_MEMBERS, _people),
    (P.VIEW_KEYS, _keys),
    (P.VIEW_TEAMS, _teams),
    (P.VIEW_TEAMS, _models),
)


def _tenants(text: str) -> Iterator[Result]:
    for row in Tenant.objects.filter(name__icontains=text).order_by("name")[:MOST]:
        yield _result(_("Tenant"), row.name, _at(row, "overview"))


def _served(text: str) -> Iterator[Result]:
    for name in _matching(list(served()), text):
        yield _result(_("Model"), name, reverse("console:served_models"))


def _pools(text: str) -> Iterator[Result]:
    for row in Pool.objects.filter(name__icontains=text).order_by("name")[:MOST]:
        yield _result(_("Pool"), row.name, reverse("console:pool", args=[row.pk]))


def _engines(text: str) -> Iterator[Result]:
    rows = Engine.objects.filter(Q(name__icontains=text) | Q(url__icontains=text))
    for row in rows.order_by("name")[:MOST]:
        url = reverse("console:engine", args=[row.pk])
        yield _result(_("Engine"), row.name, url, row.shown_url)


def _any_request(text: str) -> Iterator[Result]:
    if (pk := _uuid(text)) and Completion.objects.filter(pk=pk).exists():
        yield _result(_("Request"), str(pk), f"{reverse('console:all_requests')}?id={pk}")


_IN_PLATFORM = (_any_request, _tenants, _served, _pools, _engines)


def _result(kind: Promise, label: Any, url: str, detail: str = "") -> Result:
    text = str(label)
    return Result(str(kind), text, url, "" if detail == text else detail)


def _at(tenant: Tenant, page: str, *args: Any) -> str:
    return reverse(f"console:{page}", args=[tenant.name, *args])


def _matching(names: list[str], text: str) -> list[str]:
    return [name for name in names if text.casefold() in name.casefold()][:MOST]


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
