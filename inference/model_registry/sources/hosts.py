"""The hosts that imports may ask: those of FOREBAY_MODEL_HOSTS, and for operators our networks.

No import reaches a link-local or metadata address, whatever its name says. A tenant's import asks
none but hosts that the operator has named: a tenant could explore our networks otherwise.
"""

import asyncio
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings

from inference.model_registry.headers.header import BadFile
from infrastructure import networks
from infrastructure.url_form import url_problem

HTTPS = 443


@dataclass(frozen=True, slots=True)
class Place:
    """An address that was checked, and the name under which TLS expects it."""

    host: str
    port: int
    address: str


def url_refusal(url: str, *, by_tenant: bool) -> str:
    """Returns why nothing may be imported from a URL, "" if it may be tried."""
    if url_problem(url) or urlsplit(url).scheme != "https":
        return "the url must begin with https:// and name a host, without a user name"
    host = urlsplit(url).hostname or ""
    if by_tenant and host not in settings.MODEL_HOSTS:
        return f"{host} is not in FOREBAY_MODEL_HOSTS: the operator names hosts there"
    return ""


def place_of(url: str, *, by_tenant: bool) -> Place:
    """Resolve the host of a URL to an allowed address. Raises BadFile."""
    if reason := url_refusal(url, by_tenant=by_tenant):
        raise BadFile(reason)
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or HTTPS
    try:
        named = host in settings.MODEL_HOSTS
        addresses = asyncio.run(networks.connectable(host, port, hosted=named))
    except OSError:
        raise BadFile(f"{host} has no address from which models may be imported") from None
    return Place(host, port, addresses[0])
