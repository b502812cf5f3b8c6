"""Filters and tags of the compliance pages."""

from typing import Any

from django import template
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from console.compliance import figures_words
from console.compliance.check import Check
from console.compliance.personal import LABELS
from tenants.roles import Role

register = template.Library()
register.filter("figure_lines", figures_words.figure_lines)
register.filter("findings", figures_words.findings)
COLOURS = {
    "problem": "bg-red-lt",
    "waiting": "bg-yellow-lt",
    "shown": "bg-green-lt",
    "customer": "bg-azure-lt",
    "missing": "bg-secondary-lt",
}


@register.filter
def state_colour(state: str) -> str:
    return COLOURS[state]


@register.filter
def table_name(name: str) -> str:
    """Returns the name of a class of personal data, or of a role."""
    roles = {**dict(Role.choices), "operator": _("Platform operator")}
    return str(roles.get(name) or next((text for d, text in LABELS.items() if d == name), name))


@register.filter
def in_language(texts: dict[str, str]) -> str:
    """Returns a report's text in the reader's language."""
    return texts["zh-hans" if (get_language() or "").startswith("zh") else "en"]


@register.filter
def in_report(texts: dict[str, str], language: str) -> str:
    """Returns a report's text in the language of the report."""
    return texts[language]


@register.simple_tag(takes_context=True)
def check_link(context: Any, check: Check) -> SafeString:
    tenant = context["request"].tenant
    name, args = ("check", [tenant.name, check.name]) if tenant else ("all_check", [check.name])
    return format_html('<a href="{}">{}</a>', reverse(f"console:{name}", args=args), check.label)
