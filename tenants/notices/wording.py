"""The words of a notice, in the language of who gets it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from tenants.models import Notice, NoticePreference, User
from tenants.models.quotas.quota import Unit, Window
from tenants.notices.events import EVENTS

_MOMENTS = ("at", "expires_at", "due_at", "starts")
_AMOUNTS = ("amount", "limit", "used")
_PERSONAL_PAGES = ("account", "operator_keys")
MICRO = 1_000_000  # costs are in millionths of the currency


@dataclass(frozen=True, slots=True)
class Message:
    id: str
    event: str
    title: str
    text: str
    url: str
    button: str
    at: datetime
    tenant: str  # the name; "" of the platform
    facts: dict[str, Any]
    language: str


def language_of(user: User | None) -> str:
    row = NoticePreference.objects.filter(user=user).first() if user else None
    chosen = (row.language or row.last_language) if row else ""
    return chosen if chosen in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE


def message(notice: Notice, language: str, *, url: str = "") -> Message:
    """Returns the notice in words. `url` is the link of an invitation or for a new password."""
    words = EVENTS[notice.event]
    with translation.override(language):
        shown = _Shown(_shown(notice))
        return Message(
            id=str(notice.id),
            event=notice.event,
            title=str(words.title) % shown,
            text=str(words.text) % shown,
            url=url or _page(notice, words.page),
            button=str(words.button),
            at=notice.created_at,
            tenant=notice.tenant.name if notice.tenant else "",
            facts=notice.facts,
            language=language,
        )


class _Shown(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return "–"


def _shown(notice: Notice) -> dict[str, str]:
    """Returns the facts as people read them."""
    facts = {name: str(value) for name, value in notice.facts.items() if value is not None}
    zone = ZoneInfo(notice.tenant.time_zone if notice.tenant else settings.TIME_ZONE)
    for name in _MOMENTS:
        if name in facts:
            facts[name] = _moment(facts[name], zone)
    for name in _AMOUNTS:
        if name in facts:
            facts[name] = _amount(int(facts[name]), facts.get("unit", ""))
    if "unit" in facts:
        facts["unit"] = str(dict(Unit.choices).get(facts["unit"], facts["unit"]))
    if "window" in facts:
        facts["window"] = str(dict(Window.choices).get(facts["window"], facts["window"]))
    facts["tenant"] = notice.tenant.name if notice.tenant else _("the platform")
    return facts


def _moment(text: str, zone: ZoneInfo) -> str:
    moment = timezone.localtime(datetime.fromisoformat(text), zone)
    return f"{moment:%Y-%m-%d %H:%M} ({zone.key})"


def _amount(figure: int, unit: str) -> str:
    if unit == Unit.COST:
        return f"{figure / MICRO:.2f} {settings.CURRENCY}"
    return f"{figure:,}"


def _page(notice: Notice, page: str) -> str:
    if not page:
        return settings.PUBLIC_URL
    if page in _PERSONAL_PAGES:
        return settings.PUBLIC_URL + reverse(f"console:{page}")
    if notice.tenant is None:
        return settings.PUBLIC_URL + reverse("console:home")
    return settings.PUBLIC_URL + reverse(f"console:{page}", args=[notice.tenant.name])
