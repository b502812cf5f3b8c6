"""Addresses to which a webhook may go: https and public, or named by the operator.

Checked when the URL is set, and once more for the address of each connection, since a name may lead
elsewhere by then. A host in FOREBAY_ACTION_HOSTS may have an address in our networks; at this
machine's loopback address it may speak plain http. No host has a link-local address or one of a
metadata service.
"""

import socket
from collections.abc import Callable
from ipaddress import ip_network
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from infrastructure import networks
from infrastructure.networks import AddressInfo, AddressRefused, is_literal
from infrastructure.url_form import url_problem

LONGEST = 500
_SECURE = "https"
# Ways into a site's own networks, which `ipaddress` takes for public ones: IPv4 addresses behind
# translators (RFC 8215, RFC 2765) or in the old compatible form, site-local ones, segments.
_INSIDE = tuple(
    map(ip_network, ("64:ff9b:1::/48", "::ffff:0:0:0/96", "::/96", "fec0::/10", "5f00::/16"))
)


def check(url: str) -> None:
    """Raises ValidationError if no webhook may have this URL."""
    parts = None if url_problem(url) or len(url) > LONGEST else urlsplit(url)
    if parts is None or parts.fragment:
        text = _("The URL must begin with https:// and name a host, without a user name or #.")
        raise ValidationError({"url": text})
    host = parts.hostname or ""
    if parts.scheme != _SECURE and not _is_named(host):
        text = _("The URL must begin with https://. Plain http is for hosts of this machine in %s.")
        raise ValidationError({"url": text % "FOREBAY_ACTION_HOSTS"})
    if is_literal(host) and (reason := refusal_reason(host, named=_is_named(host))):
        raise ValidationError({"url": reason})


def refusal_reason(address: str, *, named: bool, secure: bool = True) -> str:
    """Returns why nothing is sent to an IP address, "" if it may be."""
    if never := networks.refusal_reason(address, hosted=True):
        return never
    real = networks.real_address(address)
    if not secure and not real.is_loopback:
        return _("plain http is for hosts of this machine alone")
    is_public = real.is_global and not any(real in each for each in _INSIDE)
    if is_public or (named and any(real in each for each in settings.INTERNAL_NETWORKS)):
        return ""
    return _("a private address is for hosts in FOREBAY_ACTION_HOSTS, which the operator names")


def socket_factory(url: str) -> Callable[[AddressInfo], socket.socket]:
    """Returns a factory of sockets for one URL, which raises AddressRefused."""
    parts = urlsplit(url)
    named, secure = _is_named(parts.hostname or ""), parts.scheme == _SECURE

    def checked(info: AddressInfo) -> socket.socket:
        family, kind, protocol, _name, address = info
        if reason := refusal_reason(str(address[0]), named=named, secure=secure):
            raise AddressRefused(reason)
        return socket.socket(family, kind, protocol)

    return checked


def _is_named(host: str) -> bool:
    return host in settings.ACTION_HOSTS
