"""Origins of web pages that may use a tenant's keys in a browser (CORS)."""

import re
from collections.abc import Sequence

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

MOST_ORIGINS, LONGEST_ORIGIN = 50, 200
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_ORIGIN = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(:(?P<port>[0-9]{1,5}))?"
)


def known_origins(origins: Sequence[str]) -> None:
    """Requires the form that browsers send, which we compare with. Raises ValidationError."""
    if len(origins) > MOST_ORIGINS:
        raise ValidationError(_("At most %(most)d origins.") % {"most": MOST_ORIGINS})
    for origin in origins:
        match = _ORIGIN.fullmatch(origin)
        if not match or match["port"] == _DEFAULT_PORTS[match["scheme"]]:
            text = _("%(origin)s: use a form like https://app.example.com or http://localhost:3000")
            raise ValidationError(text % {"origin": origin[:LONGEST_ORIGIN]})
