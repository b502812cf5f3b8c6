"""The command palette's offer without a search: the reader's pages, and acts to begin."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from console.authorization import ConsoleRequest
from console.navigation import visible_pages
from tenants.models import Tenant
from tenants.roles import Permission as P

Act = tuple[Promise, str, P | None]  # label, URL name, needed permission
IN_TENANT: tuple[Act, ...] = (
    (_("New API key"), "api_keys", P.MANAGE_KEYS),
    (_("Invite a person"), "members", P.MANAGE_MEMBERS),
    (_("Invite several people"), "invitations", P.MANAGE_MEMBERS),
    (_("New team"), "teams", P.MANAGE_TEAMS),
    (_("Set a quota"), "quotas", P.MANAGE_QUOTAS),
    (_("Ask for a deletion"), "deletions", P.MANAGE_DELETIONS),
)
PLATFORM: tuple[Act, ...] = (
    (_("Add a model"), "model_addition", None),
    (_("New tenant"), "tenants", None),
    (_("New operator key"), "operator_keys", None),
    (_("Set a price"), "prices", None),
)


@dataclass(frozen=True, slots=True)
class Entry:
    label: str
    url: str
    is_act: bool = False


@dataclass(frozen=True, slots=True)
class Palette:
    entries: list[Entry]
    search: str  # the address that finds people, keys and the like; "" for who sees none


def palette(request: ConsoleRequest) -> Palette:
    """Returns what the palette offers to this person on this page."""
    tenant: Tenant | None = getattr(request, "tenant", None)
    entries = [*_pages(request), *_acts(request, tenant)]
    return Palette(entries, _search(request, tenant) if entries else "")


def _pages(request: ConsoleRequest) -> Iterator[Entry]:
    """Yields each page once: some stand in two sections."""
    labels: dict[str, str] = {}
    for section, url, label in visible_pages(request):
        labels.setdefault(url, label if section == label else f"{section} › {label}")
    return (Entry(label, url) for url, label in labels.items())


def _acts(request: ConsoleRequest, tenant: Tenant | None) -> Iterator[Entry]:
    if tenant is None and not request.user.is_operator:
        return
    args = [tenant.name] if tenant else []
    for label, name, needed in IN_TENANT if tenant else PLATFORM:
        if needed is None or needed in request.permissions:
            yield Entry(str(label), reverse(f"console:{name}", args=args), is_act=True)


def _search(request: ConsoleRequest, tenant: Tenant | None) -> str:
    if tenant is None:
        return reverse("console:all_search") if request.user.is_operator else ""
    if P.VIEW_USAGE not in request.permissions:
        return ""
    return reverse("console:search", args=[tenant.name])
