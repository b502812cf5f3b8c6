"""Reasons why a browser offers no security key on this page.

A key is bound to the name of a site: browsers refuse an IP address, and pages without TLS except
`localhost` (WebAuthn Level 3, "Relying Party Identifier" and secure contexts).
"""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext as _


@dataclass(frozen=True, slots=True)
class Obstacle:
    text: str
    url: str = ""  # where the same page would work


def key_obstacle(request: HttpRequest) -> Obstacle | None:
    host = urlsplit(f"//{request.get_host()}")
    name = host.hostname or ""
    address = _address(name)
    if address:
        near = f"localhost:{host.port}" if host.port else "localhost"
        url = f"{request.scheme}://{near}{request.path}" if address.is_loopback else ""
        text = _("Browsers use security keys with a name only, not with an address like %(host)s.")
        return Obstacle(text % {"host": name}, url)
    # A proxy may have ended the TLS without saying so.
    secure = request.is_secure() or settings.PUBLIC_URL.startswith("https://")
    if secure or name == "localhost" or name.endswith(".localhost"):
        return None
    return Obstacle(_("Browsers use security keys over https only, and this page came by http."))


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
