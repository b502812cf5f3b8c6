"""Filters and tags of all templates."""

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django import template
from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Count, Q
from django.templatetags.static import static
from django.utils.html import format_html, json_script
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import pgettext_lazy

from audit.models import DeletionRequest, DeletionState
from console import navigation
from console.access.roles import WORDS
from console.account.reauthentication import restored_form
from console.account.second_factors.key_obstacle import key_obstacle
from console.authorization import ConsoleRequest
from console.playground import code
from console.post_only import page_of
from console.quota_amounts import MICRO
from console.search.palette import palette
from console.waiting.counts import waiting_for
from tenants import secret_keys
from tenants.models import ApiKey, OperatorKey, Scope, User
from tenants.models.quotas.quota import Unit
from tenants.operator_scopes import OperatorScope
from tenants.roles import Permission

register = template.Library()
_CURRENCIES = {
    "CNY": pgettext_lazy("currency", "CNY"),
    "EUR": pgettext_lazy("currency", "EUR"),
    "USD": pgettext_lazy("currency", "USD"),
}
_CLASSES = {
    "realtime": pgettext_lazy("class of work", "realtime"),
    "batch": pgettext_lazy("class of work", "batch"),
    "finetune": pgettext_lazy("class of work", "finetune"),
    "preprocess": pgettext_lazy("class of work", "preprocess"),
    "evaluation": pgettext_lazy("class of work", "evaluation"),
}


@register.simple_tag
def icon(name: str, classes: str = "") -> SafeString:
    """A symbol of static/console/icons.svg."""
    return format_html(
        '<svg class="icon {}" aria-hidden="true"><use href="{}#{}"></use></svg>',
        classes,
        static("console/icons.svg"),
        name,
    )


register.filter("without_keys", secret_keys.hidden)
register.filter("page_of", page_of)
register.simple_tag(key_obstacle)
register.simple_tag(restored_form)
register.simple_tag(navigation.menu)
register.simple_tag(navigation.destinations)
register.simple_tag(navigation.chat_url)
register.simple_tag(palette)


class _CompactJson(DjangoJSONEncoder):
    item_separator, key_separator = ",", ":"


@register.filter
def compact_json(data: Mapping[str, object], element_id: str) -> SafeString:
    """Returns Django's `json_script`, without blanks between values."""
    return json_script(data, element_id, encoder=_CompactJson)


@register.filter
def megabytes(number: int) -> str:
    """Formats bytes: 32 MB."""
    return f"{number / 1_000_000:,.3g} MB" if number < 10**9 else f"{number / 1_000_000:,.0f} MB"


@register.filter
def count(number: int | str | None) -> str:
    """Formats 12,345 in every language: Django groups Chinese by four, or not at all."""
    return f"{number:,}" if isinstance(number, int) else "–"


@register.filter
def amount(number: int, unit: str) -> str:
    """Formats a quota's amount: 12,345 requests or tokens; 12.5 from millionths of the currency."""
    if unit != Unit.COST:
        return count(number)
    whole, _point, part = f"{Decimal(number) / MICRO:,.6f}".partition(".")
    return f"{whole}.{part.rstrip('0').ljust(2, '0')}"


@register.filter
def brief(number: int) -> str:
    """Formats 123,456 in full, larger numbers as 12.3 M, 4.56 B."""
    for size, sign in ((10**9, "B"), (10**6, "M")):
        if number >= size:
            return f"{number / size:.4g} {sign}"
    return f"{number:,}"


@register.filter
def money(micro: int) -> str:
    """Formats micro-units of the currency: 12.34, with more digits below one unit."""
    units = micro / 1_000_000
    if micro == 0 or units >= 1:
        return f"{units:,.2f}"
    return f"{units:.4f}" if units >= 0.01 else f"{units:.6f}".rstrip("0")


@register.simple_tag
def currency() -> str:
    """Returns the name of the currency of prices and quotas; an unknown one by its code."""
    return str(_CURRENCIES.get(settings.CURRENCY, settings.CURRENCY))


@register.simple_tag
def code_of_first_request(model: str, key: str = code.KEY) -> list[code.Sample]:
    """Returns a first chat request in curl, Python and Node, with a key or a place for it."""
    return code.samples(code.first_request(model), key)


@register.simple_tag
def currency_code() -> str:
    """Returns the currency of prices and costs as files have it, such as CNY."""
    return str(settings.CURRENCY)


@register.filter
def short_id(pk: UUID) -> str:
    """Returns the beginning of an id; the request log finds a request by it."""
    return str(pk)[:13]


@register.filter
def energy(millijoules: int) -> str:
    """Formats millijoules: 12.3 kWh, 45.6 Wh, or 789 J below a tenth of a Wh."""
    watt_hours = millijoules / 3_600_000
    if watt_hours >= 1000:
        return f"{watt_hours / 1000:,.1f} kWh"
    return f"{watt_hours:.1f} Wh" if watt_hours >= 0.1 else f"{millijoules / 1000:.0f} J"


@register.filter
def carbon(millijoules: int) -> str:
    """Formats what energy emits, "" where FOREBAY_CARBON_G_PER_KWH is not set."""
    grams = millijoules / 3_600_000_000 * settings.CARBON_G_PER_KWH
    if not grams:
        return ""
    return f"{grams / 1000:,.1f} kg CO₂" if grams >= 1000 else f"{grams:.3g} g CO₂"


@register.filter
def percent(part: int, whole: int) -> str:
    return f"{part * 100 / whole:.1f} %" if whole else "–"


@register.filter
def decimal(number: Decimal) -> str:
    """Formats 0.5 or 1,200, without the zeros that the database adds."""
    return f"{number.normalize():,f}"


@register.filter
def class_name(name: str) -> str:
    """Returns the name of a class of work in the reader's language; an unknown one unchanged."""
    return str(_CLASSES.get(name, name))


@register.filter
def lookup(mapping: Mapping[Any, Any], key: Any) -> Any:
    """Returns the value of a key that a template has in a variable, {} if there is none."""
    return mapping.get(key, {})


@register.filter
def scope_names(key: ApiKey | OperatorKey) -> list[str]:
    """Returns a key's scopes in words; an unknown scope is returned unchanged."""
    choices = OperatorScope.choices if isinstance(key, OperatorKey) else Scope.choices
    return [str(dict(choices).get(scope, scope)) for scope in key.scopes]


@register.filter
def permission_name(permission: Permission) -> str:
    return str(WORDS[permission])


@register.filter
def duration(ms: int | str | None) -> str:
    """Formats milliseconds: 212 ms, 3.4 s, or a dash for a time that was not measured."""
    if not isinstance(ms, int):  # a completion without a usage row gives ""
        return "–"
    if ms < 1000:
        return _("%(milliseconds)s ms") % {"milliseconds": ms}
    return _("%(seconds)s s") % {"seconds": f"{ms / 1000:.1f}"}


@register.filter(expects_localtime=True)
def with_milliseconds(moment: datetime) -> str:
    """Formats a time in the reader's zone with milliseconds, which `date` does not."""
    return moment.isoformat(" ", "milliseconds")[:23]


@register.filter
def seconds(passed: float | None) -> str:
    """Formats seconds: 3.4 s, 12 min, 5.0 h, or a dash for an unknown time."""
    if passed is None:
        return "–"
    if passed < 120:
        return duration(round(passed * 1000))
    if passed < 7200:
        return _("%(minutes)d min") % {"minutes": passed // 60}
    return _("%(hours)s h") % {"hours": f"{passed / 3600:.1f}"}


@register.filter
def wait(ms: int) -> str:
    """Formats an expected wait like `seconds`, with a dash for 0, which means unknown."""
    return seconds(ms / 1000 if ms else None)


@register.filter
def seen_by(person: User | None, request: ConsoleRequest) -> str:
    """Returns a person's name. Inside a tenant nobody learns an operator's name."""
    if person is None:
        return "–"
    if person.is_operator and not request.user.is_operator:
        return _("Platform operator")
    return str(person)


@register.simple_tag
def waiting_count(request: ConsoleRequest) -> int:
    """Counts what waits for the person, over all their tenants."""
    return sum(row.count for row in waiting_for(request.user))


@register.simple_tag
def open_deletions(request: ConsoleRequest) -> dict[str, int]:
    """Counts requests to erase that wait, and `late` ones (nearly due), for who may decide."""
    tenant, rows = getattr(request, "tenant", None), DeletionRequest.objects.open()
    if tenant:
        rows = rows.filter(tenant_id=tenant.id)
    by_role = tenant and Permission.MANAGE_DELETIONS in request.permissions
    if not (by_role if tenant else request.user.is_operator):
        return {}
    waiting = Q(state=DeletionState.REQUESTED, alerted_at=None)
    return rows.aggregate(waiting=Count("pk", filter=waiting), late=Count("alerted_at"))


@register.simple_tag
def second_factor_optional() -> bool:
    """Returns whether FOREBAY_MFA=optional; every page of the console shows a bar then."""
    return bool(settings.SECOND_FACTOR == "optional")


@register.filter
def json_lines(value: Any) -> str:
    """Returns a value as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False)
