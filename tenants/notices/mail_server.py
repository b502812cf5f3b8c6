"""The mail server: SMTP with this platform's own TLS authorities."""

import ssl
from typing import Any

from django.core.mail.backends.smtp import EmailBackend

from infrastructure import outgoing_tls


class MailServer(EmailBackend):
    """Django's backend for SMTP, with the authorities of FOREBAY_TLS_CA and FOREBAY_TLS_PEERS."""

    @property
    def ssl_context(self) -> ssl.SSLContext:
        return outgoing_tls.context(str(self.host))

    @ssl_context.setter
    def ssl_context(self, value: Any) -> None: ...
