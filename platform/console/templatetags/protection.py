"""What pages say about the protection of accounts."""

from django import template
from django.conf import settings

register = template.Library()


@register.simple_tag
def second_factor_optional() -> bool:
    """FOREBAY_MFA=optional: a bar says so on every page of the console."""
    return bool(settings.SECOND_FACTOR == "optional")
