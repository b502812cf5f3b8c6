"""A certificate and its key, read from files and checked before they are used."""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

LARGEST = 1024 * 1024  # bytes of a file
LEAST_RSA = 2048  # bits
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class BadCertificate(ValueError):
    """One line that names the file and says what is wrong with it."""


@dataclass(frozen=True)
class Pair:
    chain: bytes  # PEM: the server's or client's certificate, then those of its signers
    key: bytes  # PEM
    leaf: x509.Certificate

    @property
    def not_after(self) -> float:
        """The end of the certificate, in Unix time."""
        return self.leaf.not_valid_after_utc.timestamp()


def read(certificate: str | Path, key: str | Path) -> Pair:
    """Read and check a certificate and its key.

    Raises BadCertificate: for half a file, another's key, a time that is over, and so on.
    """
    chain, private = _bytes(certificate), _bytes(key)
    certificates = _certificates(certificate, chain)
    if certificates[0].public_key() != _private_key(key, private).public_key():
        raise BadCertificate(f"{key} is not the key of {certificate}: one may not be renewed yet")
    _require_order(certificates, certificate)
    _require_now(certificates[0], certificate)
    return Pair(chain, private, certificates[0])


def read_authorities(path: str | Path) -> bytes:
    """Returns the PEM of authorities whose certificates are accepted. Raises BadCertificate."""
    text = _bytes(path)
    for authority in _certificates(path, text):
        if not _may_sign(authority):
            name = authority.subject.rfc4514_string()
            raise BadCertificate(f"{path}: {name} is no authority: it may sign no certificates")
        _require_now(authority, path)
    return text


def _bytes(path: str | Path) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as problem:
        raise BadCertificate(f"{path}: {(problem.strerror or str(problem)).lower()}") from None
    if len(content) > LARGEST:
        raise BadCertificate(f"{path}: too large for a certificate or a key")
    return content


def _certificates(path: str | Path, text: bytes) -> list[x509.Certificate]:
    # The parser silently ignores a last certificate that is cut off: count both marks.
    begins, ends = text.count(b"-----BEGIN CERTIFICATE"), text.count(b"-----END CERTIFICATE-----")
    try:
        certificates = x509.load_pem_x509_certificates(text)
    except ValueError:
        certificates = []
    if not certificates or begins != ends:
        raise BadCertificate(f"{path}: no whole certificate in PEM: it may be half written")
    return certificates


def _private_key(path: str | Path, text: bytes) -> PrivateKey:
    try:
        key = load_pem_private_key(text, None)
    except TypeError:
        raise BadCertificate(
            f"{path}: the key is encrypted: write it without a passphrase (openssl pkey -in … "
            "-out …), readable for this user only"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        problem = f"{path}: no whole private key in PEM: it may be half written"
        raise BadCertificate(problem) from None
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= LEAST_RSA:
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size >= 256:
        return key
    raise BadCertificate(
        f"{path}: browsers and gRPC do not take such a key: use ECDSA P-256, or RSA with "
        f"{LEAST_RSA} bits or more"
    )


def _require_order(chain: list[x509.Certificate], path: str | Path) -> None:
    for signed, signer in pairwise(chain):
        try:
            signed.verify_directly_issued_by(signer)
        except (ValueError, TypeError, InvalidSignature):
            raise BadCertificate(
                f"{path}: {signer.subject.rfc4514_string()} did not sign the certificate before it"
            ) from None


def _require_now(certificate: x509.Certificate, path: str | Path) -> None:
    now = datetime.now(UTC)
    if certificate.not_valid_after_utc < now:
        raise BadCertificate(
            f"{path}: the certificate ended at {certificate.not_valid_after_utc:%F %R}"
        )
    if certificate.not_valid_before_utc > now:
        begins = f"{certificate.not_valid_before_utc:%F %R}"
        raise BadCertificate(f"{path}: the certificate begins at {begins} only")


def _may_sign(certificate: x509.Certificate) -> bool:
    extensions, may = certificate.extensions, False
    try:
        may = extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound as missing:
        return missing.oid == x509.KeyUsage.oid and may
    return may and usage.key_cert_sign
