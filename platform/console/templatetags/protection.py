"""Tags about the protection of accounts."""

from django import template
from django.conf import settings

register = template.Library()


@register.simple_tag
def second_factor_optional() -> bool:
    """Returns whether FOREBAY_MFA=optional; every page of the console shows a bar then."""
    return bool(settings.SECOND_FACTOR == "optional")
