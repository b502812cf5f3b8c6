"""The menu: tables of sections and their pages, of which people see those that their role includes.

One flat row of all pages would not fit a phone. So there are two rows of plain links: the sections,
and beneath them the pages of the present section.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from console.authorization import ConsoleRequest
from console.home import CHAT
from tenants.models import Member, Tenant
from tenants.roles import Permission

P = Permission
Page = tuple[str, Promise, Permission | None]  # URL name, label, needed permission
Section = tuple[Promise, str, tuple[Page, ...]]  # label, icon, pages
IN_TENANT: tuple[Section, ...] = (
    (_("Overview"), "gauge", (("overview", _("Overview"), P.VIEW_USAGE),)),
    (
        _("Usage"),
        "chart-bar",
        (
            ("usage", _("Usage"), P.VIEW_USAGE),
            ("requests", _("Requests"), P.VIEW_REQUESTS),
            ("own_queue", _("Queue"), P.VIEW_REQUESTS),
            ("batches", _("Batches"), P.VIEW_REQUESTS),
        ),
    ),
    (
        _("Access"),
        "key",
        (
            ("api_keys", _("API keys"), P.VIEW_KEYS),
            ("models", _("Models"), P.VIEW_TEAMS),
        ),
    ),
    (
        _("Prompts"),
        "pencil",
        (
            ("prompt_templates", _("Templates"), P.VIEW_TEMPLATES),
            ("cache", _("Kept answers"), P.VIEW_USAGE),
        ),
    ),
    (
        _("People"),
        "users",
        (
            ("members", _("Members"), P.VIEW_MEMBERS),
            ("teams", _("Teams"), P.VIEW_TEAMS),
            ("roles", _("Roles"), P.VIEW_MEMBERS),
        ),
    ),
    (
        _("Limits"),
        "adjustments",
        (
            ("limits", _("Limits"), P.VIEW_LIMITS),
            ("quotas", _("Quotas"), P.VIEW_LIMITS),
            ("raises", pgettext_lazy("of a quota", "Raises"), P.VIEW_LIMITS),
            ("refusals", _("Refusals"), P.VIEW_LIMITS),
        ),
    ),
    (
        _("Audit"),
        "shield",
        (
            ("audit", _("Audit"), P.VIEW_AUDIT),
            ("retention", _("Retention"), P.VIEW_AUDIT),
            ("legal_holds", _("Legal holds"), P.VIEW_AUDIT),
            ("deletions", _("Deletion requests"), P.MANAGE_DELETIONS),
            ("compliance", _("Compliance"), P.VIEW_COMPLIANCE),
        ),
    ),
    (_("Settings"), "settings", (("tenant_settings", _("Settings"), P.VIEW_MEMBERS),)),
)
PLATFORM: tuple[Section, ...] = (
    (_("Overview"), "gauge", (("platform", _("Overview"), None),)),
    (_("Tenants"), "building", (("tenants", _("Tenants"), None),)),
    (
        _("Models"),
        "cpu",
        (("served_models", _("Models"), None), ("pools", _("Pools and engines"), None)),
    ),
    (
        _("Usage"),
        "chart-bar",
        (
            ("all_usage", _("Usage"), None),
            ("all_requests", _("Requests"), None),
            ("all_batches", _("Batches"), None),
        ),
    ),
    (
        _("Limits"),
        "adjustments",
        (
            ("tiers", _("Tiers"), None),
            ("prices", _("Prices"), None),
            ("all_raises", pgettext_lazy("of a quota", "Raises"), None),
            ("all_refusals", _("Refusals"), None),
            ("reconciliations", _("Reconciliation"), None),
        ),
    ),
    (_("Access"), "key", (("operator_keys", _("Operator keys"), None),)),
    (
        _("Audit"),
        "shield",
        (
            ("all_audit", _("Audit"), None),
            ("all_retention", _("Retention"), None),
            ("all_holds", _("Legal holds"), None),
            ("all_deletions", _("Deletion requests"), None),
            ("all_compliance", _("Compliance"), None),
            ("keys_at_rest", _("Keys at rest"), None),
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Entry:
    url: str
    label: str
    icon: str
    here: bool


@dataclass(frozen=True, slots=True)
class Menu:
    sections: list[Entry]
    pages: list[Entry]  # of the present section; empty where it has one page only


@dataclass(frozen=True, slots=True)
class Destination:
    """A tenant to switch to, or the whole platform."""

    url: str
    label: str
    here: bool


@dataclass(frozen=True, slots=True)
class Destinations:
    label: str  # the present one
    entries: list[Destination]


def menu(request: ConsoleRequest) -> Menu:
    open_to = list(_visible_sections(request))
    urls = [url for _label, _icon, pages in open_to for url, _name in pages]
    present = _present(request.path, urls)
    sections, row = [], []
    for label, icon, pages in open_to:
        here = present in [url for url, _name in pages]
        sections.append(Entry(pages[0][0], str(label), icon, here))
        if here and len(pages) > 1:
            row = [Entry(url, str(name), "", url == present) for url, name in pages]
    return Menu(sections, row)


def destinations(request: ConsoleRequest) -> Destinations:
    items = list(_destinations(request))
    label = next((one.label for one in items if one.here), str(_("Console")))
    return Destinations(label, items)


def chat_url(request: ConsoleRequest) -> str:
    """Returns "" for people whose role has no chat, such as auditors."""
    return CHAT if any(m.may(P.CHAT) for m in Member.objects.of(request.user)) else ""


def _visible_sections(
    request: ConsoleRequest,
) -> Iterator[tuple[Promise, str, list[tuple[str, Promise]]]]:
    """Yields the sections, with the pages, that this person may see in the present tenant."""
    tenant: Tenant | None = getattr(request, "tenant", None)
    if tenant is None and not request.user.is_operator:
        return
    permissions = request.permissions if tenant else frozenset()
    args = [tenant.name] if tenant else []
    for label, icon, pages in IN_TENANT if tenant else PLATFORM:
        open_to = [
            (reverse(f"console:{name}", args=args), title)
            for name, title, needed in pages
            if needed is None or needed in permissions
        ]
        if open_to:
            yield label, icon, open_to


def _present(path: str, urls: list[str]) -> str:
    """Returns the longest address that the path begins with: the present page."""
    return max((url for url in urls if path.startswith(url)), key=len, default="")


def _destinations(request: ConsoleRequest) -> Iterator[Destination]:
    here = getattr(request, "tenant", None)
    if request.user.is_operator:
        is_here = here is None and request.path.startswith("/console/")
        yield Destination(reverse("console:platform"), str(_("Whole platform")), is_here)
    own = {member.tenant for member in _staff_memberships(request)} | ({here} if here else set())
    for tenant in sorted(own, key=lambda tenant: tenant.name):
        url = reverse("console:overview", args=[tenant.name])
        yield Destination(url, tenant.name, tenant == here)


def _staff_memberships(request: ConsoleRequest) -> list[Member]:
    members = Member.objects.of(request.user)
    return [m for m in members if m.may(P.VIEW_USAGE)]
