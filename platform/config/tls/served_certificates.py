"""The certificate that a port shows its clients, renewed when its files change, without a restart.

Nothing watches the files: the next connection looks at them, every EVERY_S at most. New ones are
taken only when they are whole and belong together; else the old ones stay, and a log line says why.
"""

import logging
import os
import ssl
import time
from typing import NamedTuple

from config.tls.key_pair import BadCertificate, Pair, read, read_authorities
from infrastructure.metrics import Gauge, Label
from infrastructure.outgoing_tls import stamp

log = logging.getLogger(__name__)
EVERY_S = 5.0
_served: dict[str, "Served"] = {}


class Material(NamedTuple):
    pair: Pair
    clients: bytes | None  # PEM of the authorities whose certificates clients must show


NOT_AFTER = Gauge(
    "forebay_certificate_not_after_seconds",
    "Unix time at which the certificate ends that this process shows",
    Label.of("certificate", "web", "grpc", "metrics"),
    read=lambda: {(name,): each.material.pair.not_after for name, each in _served.items()},
)


class Served:
    """The certificate of a port.

    `name` is the port's in metrics. Paths name PEM files; `clients` "" asks for no client's
    certificate.
    """

    def __init__(self, name: str, certificate: str, key: str, clients: str = "") -> None:
        self._name, self._certificate, self._key, self._clients = name, certificate, key, clients
        self._read_stamps = self._stamps()
        self._material = self._read()
        self._context: ssl.SSLContext | None = None
        self._looked_at, self._reported = time.monotonic(), ""
        _served[name] = self

    @property
    def material(self) -> Material:
        """The material in force: a new object only when it has changed."""
        now = time.monotonic()
        if now - self._looked_at > EVERY_S:
            self._looked_at = now
            self._look()
        return self._material

    def context(self) -> ssl.SSLContext:
        """Returns the TLS context for a connection that is about to begin."""
        before, material = self._material, self.material
        if self._context is None or material is not before:
            self._context = server_context(material)
        return self._context

    def _look(self) -> None:
        if (stamps := self._stamps()) == self._read_stamps:
            return
        try:
            self._material = self._read()
        except BadCertificate as problem:
            if str(problem) != self._reported:
                text = "TLS of %s: keeps the certificate that ends %s: %s"
                log.error(text, self._name, _day(self._material.pair), problem)
            self._reported = str(problem)
            return
        self._read_stamps, self._reported, self._context = stamps, "", None
        log.info("TLS of %s: renewed, until %s", self._name, _day(self._material.pair))

    def _read(self) -> Material:
        """Read and check the files. Raises BadCertificate."""
        pair = read(self._certificate, self._key)
        material = Material(pair, read_authorities(self._clients) if self._clients else None)
        server_context(material)  # raises for what OpenSSL does not take
        return material

    def _stamps(self) -> list[object]:
        return [stamp(path) for path in (self._certificate, self._key, self._clients) if path]


def server_context(material: Material) -> ssl.SSLContext:
    """Returns a context for TLS 1.3 and nothing older. Raises BadCertificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["http/1.1"])
    try:
        _load(context, material.pair)
        if material.clients:
            context.load_verify_locations(cadata=material.clients.decode("latin-1"))
            context.verify_mode = ssl.CERT_REQUIRED
    except ssl.SSLError as problem:
        raise BadCertificate(f"OpenSSL does not take it: {problem.reason or problem}") from None
    return context


def _load(context: ssl.SSLContext, pair: Pair) -> None:
    """Load just the bytes that were checked: the files may be others by now.

    OpenSSL takes paths alone.
    """
    file = os.memfd_create("forebay-tls", os.MFD_CLOEXEC)
    try:
        with open(file, "wb", closefd=False) as whole:
            whole.write(pair.key + b"\n" + pair.chain)
        context.load_cert_chain(f"/proc/self/fd/{file}")
    finally:
        os.close(file)


def _day(pair: Pair) -> str:
    return f"{pair.leaf.not_valid_after_utc:%F %R} UTC"
