"""What templates need beside Django's own tags."""

from django import template
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from console import navigation
from console.door import ConsoleRequest

register = template.Library()


@register.simple_tag
def icon(name: str, classes: str = "") -> SafeString:
    """A symbol of static/console/icons.svg."""
    return format_html(
        '<svg class="icon {}" aria-hidden="true"><use href="{}#{}"></use></svg>',
        classes,
        static("console/icons.svg"),
        name,
    )


@register.filter
def count(number: int | str | None) -> str:
    """12,345 in every language (Django groups Chinese numbers by four, or not at all)."""
    return f"{number:,}" if isinstance(number, int) else "–"


@register.filter
def duration(ms: int | str | None) -> str:
    """212 ms, 3.4 s, or a dash for a time that was not measured."""
    if not isinstance(ms, int):  # a completion without a usage row gives ""
        return "–"
    return f"{ms} ms" if ms < 1000 else _("%(seconds)s s") % {"seconds": f"{ms / 1000:.1f}"}


@register.simple_tag
def pages(request: ConsoleRequest) -> list[navigation.Entry]:
    return list(navigation.pages(request))


@register.simple_tag
def places(request: ConsoleRequest) -> navigation.Places:
    return navigation.places(request)


@register.simple_tag
def chat_url(request: ConsoleRequest) -> str:
    return navigation.chat_url(request)
