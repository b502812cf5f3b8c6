"""The menu: one table of pages, of which each person sees what their role includes."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from console.door import ConsoleRequest
from console.home import CHAT
from tenants.models import Member, Tenant
from tenants.roles import PERMISSIONS, Permission, Role

P = Permission
TENANT_PAGES: tuple[tuple[str, Promise, str, Permission], ...] = (
    ("overview", _("Overview"), "gauge", P.VIEW_USAGE),
    ("requests", _("Requests"), "list", P.VIEW_REQUESTS),
    ("api_keys", _("API keys"), "key", P.VIEW_KEYS),
    ("members", _("Members"), "users", P.VIEW_MEMBERS),
    ("audit", _("Audit"), "shield", P.VIEW_AUDIT),
    ("limits", _("Limits"), "adjustments", P.VIEW_USAGE),
)
PLATFORM_PAGES: tuple[tuple[str, Promise, str], ...] = (
    ("platform", _("Overview"), "gauge"),
    ("tenants", _("Tenants"), "building"),
    ("all_requests", _("Requests"), "list"),
    ("all_audit", _("Audit"), "shield"),
)


@dataclass(frozen=True, slots=True)
class Entry:
    url: str
    label: str
    icon: str
    here: bool


@dataclass(frozen=True, slots=True)
class Place:
    """A tenant to go to, or the whole platform."""

    url: str
    label: str
    here: bool


@dataclass(frozen=True, slots=True)
class Places:
    label: str  # of the menu: where we are
    places: list[Place]


def pages(request: ConsoleRequest) -> Iterator[Entry]:
    """The row of pages of the place where the request is."""
    tenant = getattr(request, "tenant", None)
    if tenant:
        for name, label, icon, needed in TENANT_PAGES:
            if needed in request.permissions:
                yield _entry(request, reverse(f"console:{name}", args=[tenant.name]), label, icon)
    elif request.user.is_operator:
        for name, label, icon in PLATFORM_PAGES:
            yield _entry(request, reverse(f"console:{name}"), label, icon)


def places(request: ConsoleRequest) -> Places:
    found = list(_places(request))
    label = next((place.label for place in found if place.here), str(_("Console")))
    return Places(label, found)


def _places(request: ConsoleRequest) -> Iterator[Place]:
    here = getattr(request, "tenant", None)
    if request.user.is_operator:
        all_of_it = here is None and request.path.startswith("/console/")
        yield Place(reverse("console:platform"), str(_("Whole platform")), all_of_it)
    own = {member.tenant for member in _staffed(request)} | ({here} if here else set())
    for tenant in sorted(own, key=lambda tenant: tenant.name):
        yield Place(_overview(tenant), tenant.name, tenant == here)


def chat_url(request: ConsoleRequest) -> str:
    """The chat is for members whose role has it: an auditor has none, nor has an outsider."""
    return CHAT if any(m.may(P.CHAT) for m in Member.objects.of(request.user)) else ""


def _staffed(request: ConsoleRequest) -> list[Member]:
    members = Member.objects.of(request.user)
    return [m for m in members if P.VIEW_USAGE in PERMISSIONS[Role(m.role)]]


def _overview(tenant: Tenant) -> str:
    return reverse("console:overview", args=[tenant.name])


def _entry(request: ConsoleRequest, url: str, label: Promise, icon: str) -> Entry:
    return Entry(url, str(label), icon, here=request.path == url)
