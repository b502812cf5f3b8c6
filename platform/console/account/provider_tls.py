"""HTTPS to identity providers, as to all others: FOREBAY_TLS_CA, FOREBAY_TLS_PEERS, the oldest TLS.

`requests` by itself believes its own list of authorities, and takes TLS 1.2.
"""

from typing import Any
from urllib.parse import urlsplit

from requests import PreparedRequest
from requests.adapters import HTTPAdapter

from infrastructure import outgoing_tls


class OurTls(HTTPAdapter):
    def build_connection_pool_key_attributes(
        self, request: PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        """Each host has its context: another one when the files have changed."""
        host, _ = super().build_connection_pool_key_attributes(request, True, None)
        name = urlsplit(request.url or "").hostname or ""
        return host, {"ssl_context": outgoing_tls.context(name), "cert_reqs": "CERT_REQUIRED"}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leaves the context alone, to which requests' own list would be added here."""
