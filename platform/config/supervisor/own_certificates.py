"""An authority and a certificate of our own, for FOREBAY_TLS=on without a certificate.

They are made at the first start, and renewed while we run: the processes see that by themselves.
"""

import asyncio
import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

from config import environment
from config.supervisor.options import RunOptions
from config.supervisor.terminal import RunProblem, say
from config.tls import configured_files
from config.tls.authority import Authority, Files, is_due, lacks
from config.tls.key_pair import BadCertificate

EVERY_S = 3600.0
_ANYWHERE = ("0.0.0.0", "::")  # noqa: S104  # read, not bound


class OwnCertificates:
    def __init__(self, folder: Path, hosts: list[str]) -> None:
        self._folder, self._hosts = folder, hosts
        self._files = Files.of(folder, "server")

    @classmethod
    def wanted(cls, options: RunOptions) -> "OwnCertificates | None":
        """Returns None if nothing has TLS, or if the operator provides the certificate."""
        if not options.tls or os.environ.get("FOREBAY_TLS_CERTIFICATE"):
            return None
        return cls(configured_files.FOLDER, _hosts(options))

    def make(self) -> None:
        """Make the certificate if it is missing, old or lacks a host. Raises RunProblem."""
        try:
            if self._is_missing():
                Authority.open_or_make(self._folder).server(self._hosts)
                say(f"  certificate made for {', '.join(self._hosts)}")
        except (BadCertificate, OSError) as problem:
            raise RunProblem(f"FOREBAY_TLS: {problem}") from None

    async def keep(self) -> None:
        """Renew the certificate when it is due, until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                self.make()
            except RunProblem as problem:
                say(f"ALERT tls: {problem}")

    def _is_missing(self) -> bool:
        try:
            leaf = self._files.read().leaf
        except BadCertificate:
            return True
        return is_due(leaf) or lacks(leaf, self._hosts)


def _hosts(options: RunOptions) -> list[str]:
    """Returns the names and addresses by which clients reach this host."""
    public = urlsplit(environment.public_url(options.host, options.port)).hostname or "localhost"
    here = socket.gethostname() if options.host in _ANYWHERE else options.host
    allowed = environment.words(os.environ.get("FOREBAY_ALLOWED_HOSTS", ""))
    patterns = (f"*{name}" if name.startswith(".") else name for name in allowed if name != "*")
    return list(dict.fromkeys(["localhost", "127.0.0.1", "::1", public, here, *patterns]))
