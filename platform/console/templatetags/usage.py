"""Filters of the usage pages."""

from django import template

register = template.Library()


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


@register.filter
def percent(part: int, whole: int) -> str:
    return f"{part * 100 / whole:.1f} %" if whole else "–"
