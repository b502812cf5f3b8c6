"""The menu: a table of pages by section, of which people see those that their role includes.

One flat row of all pages would not fit a phone. So there are two rows of plain links: the sections,
and beneath them the pages of the present section.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from console.authorization import ConsoleRequest
from console.home import CHAT, first_page
from inference.models import Dialogue, DialogueStatus
from tenants.models import Member, Tenant
from tenants.roles import Permission

P = Permission
Page = tuple[str, str, Promise, Permission | None]  # section, URL name, label, needed permission
SERVICE = "message-circle"
SECTIONS: dict[str, Promise] = {  # by icon
    "gauge": _("Overview"),
    "building": _("Tenants"),
    "cpu": _("Models"),
    "chart-bar": _("Usage"),
    "key": _("Access"),
    "pencil": _("Prompts"),
    "shield-check": _("Decisions"),
    SERVICE: _("Assistants"),
    "scale": _("Evaluations"),
    "users": _("People"),
    "adjustments": _("Limits"),
    "shield": _("Audit"),
    "settings": _("Settings"),
}
IN_TENANT: tuple[Page, ...] = (
    ("gauge", "overview", _("Overview"), P.VIEW_USAGE),
    ("chart-bar", "usage", _("Usage"), P.VIEW_USAGE),
    ("chart-bar", "sessions", pgettext_lazy("of agents", "Sessions"), P.VIEW_USAGE),
    ("chart-bar", "requests", _("Requests"), P.VIEW_REQUESTS),
    ("chart-bar", "own_requests", _("My requests"), P.CHAT),
    ("chart-bar", "own_queue", _("Queue"), P.VIEW_REQUESTS),
    ("chart-bar", "batches", _("Batches"), P.VIEW_REQUESTS),
    ("key", "api_keys", _("API keys"), P.VIEW_KEYS),
    ("key", "models", _("Models"), P.VIEW_TEAMS),
    ("key", "aliases", _("Aliases"), P.VIEW_TEAMS),
    ("cpu", "model_versions", _("Versions"), P.VIEW_MODELS),
    ("cpu", "data_sets", _("Data sets"), P.VIEW_DATA_SETS),
    ("cpu", "jobs", _("Jobs"), P.VIEW_REQUESTS),
    ("cpu", "adapters", _("Adapters"), P.VIEW_ADAPTERS),
    ("cpu", "evaluations", _("Evaluations"), P.VIEW_EVALUATIONS),
    ("cpu", "task_sets", _("Task sets"), P.VIEW_EVALUATIONS),
    ("pencil", "playground", _("Playground"), P.USE_PLAYGROUND),
    ("pencil", "prompt_templates", _("Templates"), P.VIEW_TEMPLATES),
    ("pencil", "cache", _("Answer cache"), P.VIEW_USAGE),
    (
        "shield-check",
        "decision_policies",
        pgettext_lazy("of decisions", "Policies"),
        P.VIEW_POLICIES,
    ),
    ("shield-check", "policy_evaluations", _("Evaluations"), P.VIEW_EVALUATIONS),
    ("shield-check", "reviews", _("Reviews"), P.VIEW_DECISIONS),
    ("shield-check", "contests", _("Contests"), P.VIEW_DECISIONS),
    (SERVICE, "inbox", _("Inbox"), P.ANSWER_DIALOGUES),
    (SERVICE, "assistants", _("Assistants"), P.VIEW_ASSISTANTS),
    (SERVICE, "service_figures", pgettext_lazy("of service", "Figures"), P.VIEW_ASSISTANTS),
    (SERVICE, "knowledge_bases", _("Knowledge bases"), P.VIEW_KNOWLEDGE),
    (SERVICE, "actions", pgettext_lazy("of assistants", "Actions"), P.VIEW_ACTIONS),
    (SERVICE, "widget_keys", _("Widget keys"), P.VIEW_KEYS),
    ("scale", "evaluations", _("Evaluations"), P.VIEW_EVALUATIONS),
    ("scale", "task_sets", _("Task sets"), P.VIEW_EVALUATIONS),
    ("users", "members", _("Members"), P.VIEW_MEMBERS),
    ("users", "teams", _("Teams"), P.VIEW_TEAMS),
    ("users", "roles", _("Roles"), P.VIEW_MEMBERS),
    ("adjustments", "limits", _("Limits"), P.VIEW_LIMITS),
    ("adjustments", "quotas", _("Quotas"), P.VIEW_LIMITS),
    ("adjustments", "raises", _("Quota increases"), P.VIEW_LIMITS),
    ("adjustments", "refusals", _("Refusals"), P.VIEW_LIMITS),
    ("shield", "audit", _("Audit"), P.VIEW_AUDIT),
    ("shield", "audit_kit", _("Auditor's kit"), P.VIEW_AUDIT),
    ("shield", "retention", _("Retention"), P.VIEW_AUDIT),
    ("shield", "legal_holds", _("Legal holds"), P.VIEW_AUDIT),
    ("shield", "deletions", _("Deletion requests"), P.MANAGE_DELETIONS),
    ("shield", "people", _("People by reference"), P.VIEW_PEOPLE),
    ("shield", "compliance", _("Compliance"), P.VIEW_COMPLIANCE),
    ("settings", "tenant_settings", _("Settings"), P.VIEW_MEMBERS),
    ("settings", "notices", _("Notices"), P.MANAGE_NOTICES),
)
PLATFORM: tuple[Page, ...] = (
    ("gauge", "platform", _("Overview"), None),
    ("building", "tenants", _("Tenants"), None),
    ("cpu", "served_models", _("Models"), None),
    ("cpu", "pools", _("Pools and engines"), None),
    ("cpu", "all_model_versions", _("Versions"), None),
    ("cpu", "all_jobs", _("Jobs"), None),
    ("chart-bar", "all_usage", _("Usage"), None),
    ("chart-bar", "all_requests", _("Requests"), None),
    ("chart-bar", "all_batches", _("Batches"), None),
    ("adjustments", "tiers", _("Tiers"), None),
    ("adjustments", "prices", _("Prices"), None),
    ("adjustments", "all_raises", _("Quota increases"), None),
    ("adjustments", "all_refusals", _("Refusals"), None),
    ("adjustments", "reconciliations", _("Reconciliation"), None),
    ("key", "operator_keys", _("Operator keys"), None),
    ("shield", "all_audit", _("Audit"), None),
    ("shield", "all_retention", _("Retention"), None),
    ("shield", "all_holds", _("Legal holds"), None),
    ("shield", "all_deletions", _("Deletion requests"), None),
    ("shield", "all_compliance", _("Compliance"), None),
    ("shield", "keys_at_rest", _("Keys at rest"), None),
    ("shield", "backups", _("Backups"), None),
    ("settings", "platform_notices", _("Notices"), None),
)


@dataclass(frozen=True, slots=True)
class MenuEntry:
    """A link of the menu: a section, a page, or a tenant to switch to."""

    url: str
    label: str
    here: bool
    icon: str = ""
    badge: int = 0  # what waits behind it


@dataclass(frozen=True, slots=True)
class Menu:
    sections: list[MenuEntry]
    pages: list[MenuEntry]  # of the present section; empty where it has one page only


@dataclass(frozen=True, slots=True)
class Destinations:
    label: str  # the present one
    entries: list[MenuEntry]


def menu(request: ConsoleRequest) -> Menu:
    pages = list(_visible_pages(request))
    present = max(
        (url for _s, url, _l in pages if request.path.startswith(url)), key=len, default=""
    )
    # Models link to evaluations too, which have a section of their own: the later one is theirs.
    section = {url: icon for icon, url, _label in pages}.get(present)
    sections, row = [], []
    waiting = _waiting(request)
    for icon, group in groupby(pages, itemgetter(0)):
        links = [MenuEntry(url, label, url == present) for _section, url, label in group]
        here = icon == section
        badge = waiting if icon == SERVICE else 0
        sections.append(MenuEntry(links[0].url, str(SECTIONS[icon]), here, icon, badge))
        if here and len(links) > 1:
            row = links
    return Menu(sections, row)


def _waiting(request: ConsoleRequest) -> int:
    """Returns how many dialogues wait for a member, for those who may answer them."""
    tenant: Tenant | None = getattr(request, "tenant", None)
    if tenant is None or P.ANSWER_DIALOGUES not in request.permissions:
        return 0
    return Dialogue.objects.filter(tenant=tenant, status=DialogueStatus.WAITING).count()


def destinations(request: ConsoleRequest) -> Destinations:
    items = list(_destinations(request))
    label = next((one.label for one in items if one.here), str(_("Console")))
    return Destinations(label, items)


def chat_url(request: ConsoleRequest) -> str:
    """Returns "" for people whose role has no chat, such as auditors."""
    return CHAT if any(m.may(P.CHAT) for m in Member.objects.of(request.user)) else ""


def visible_pages(request: ConsoleRequest) -> Iterator[tuple[str, str, str]]:
    """Yields the section's label, the address and the label of the pages that a person may see."""
    for icon, url, label in _visible_pages(request):
        yield str(SECTIONS[icon]), url, label


def _visible_pages(request: ConsoleRequest) -> Iterator[tuple[str, str, str]]:
    """Yields section, address and label of the pages that this person may see here."""
    tenant: Tenant | None = getattr(request, "tenant", None)
    if tenant is None and not request.user.is_operator:
        return
    permissions = request.permissions if tenant else frozenset()
    args = [tenant.name] if tenant else []
    for section, name, label, needed in IN_TENANT if tenant else PLATFORM:
        if needed is None or needed in permissions:
            yield section, reverse(f"console:{name}", args=args), str(label)


def _destinations(request: ConsoleRequest) -> Iterator[MenuEntry]:
    here = getattr(request, "tenant", None)
    if request.user.is_operator:
        is_here = here is None and request.path.startswith("/console/")
        yield MenuEntry(reverse("console:platform"), str(_("Whole platform")), is_here)
    memberships = Member.objects.of(request.user)
    own = {m.tenant: page for m in memberships if (page := first_page(m))}
    if here:
        own.setdefault(here, "console:overview")
    for tenant in sorted(own, key=lambda tenant: tenant.name):
        yield MenuEntry(reverse(own[tenant], args=[tenant.name]), tenant.name, tenant == here)
