"""What the usage pages need to write figures."""

from django import template

register = template.Library()


@register.filter
def brief(number: int) -> str:
    """123,456 as it is, larger ones as 12.3 M, 4.56 B."""
    for size, sign in ((10**9, "B"), (10**6, "M")):
        if number >= size:
            return f"{number / size:.4g} {sign}"
    return f"{number:,}"


@register.filter
def money(micro: int) -> str:
    """Micro-units of the currency: 12.34, and more digits of what is less than a unit."""
    units = micro / 1_000_000
    if micro == 0 or units >= 1:
        return f"{units:,.2f}"
    return f"{units:.4f}" if units >= 0.01 else f"{units:.6f}".rstrip("0")


@register.filter
def percent(part: int, whole: int) -> str:
    return f"{part * 100 / whole:.1f} %" if whole else "–"
