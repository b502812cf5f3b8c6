"""HTTPS to identity providers by the platform's rules: FOREBAY_TLS_CA, FOREBAY_TLS_PEERS.

`requests` by itself trusts its own list of authorities, and accepts TLS 1.2.
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
        """Use a context per host, and a new one when its files have changed."""
        host, _ = super().build_connection_pool_key_attributes(request, True, None)
        name = urlsplit(request.url or "").hostname or ""
        return host, {"ssl_context": outgoing_tls.context(name), "cert_reqs": "CERT_REQUIRED"}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Do nothing: requests would add its own list of authorities to the context here."""
