"""A small authority of our own, for installations without one.

Its keys are ECDSA P-256, which browsers, gRPC and OpenSSL all take.
"""

import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from config.tls.key_pair import BadCertificate, Pair, read, read_authorities
from infrastructure.private_file import replace

YEARS_10, DAYS = 3650, 90
SKEW = timedelta(hours=1)  # clocks may differ by so much
_SERVER, _CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?"
_DNS = re.compile(rf"(\*\.)?({_LABEL}\.)*{_LABEL}")
Extension = tuple[x509.ExtensionType, bool]  # True: critical
Signer = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


@dataclass(frozen=True)
class Files:
    certificate: Path
    key: Path

    @classmethod
    def of(cls, folder: Path, name: str) -> "Files":
        return cls(folder / f"{name}.crt", folder / f"{name}.key")

    def read(self) -> Pair:
        return read(self.certificate, self.key)


class Authority:
    def __init__(
        self, folder: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
    ) -> None:
        self._folder, self.certificate, self._key = folder, certificate, key

    @classmethod
    def open(cls, folder: Path) -> "Authority":
        """Read an authority from its folder. Raises BadCertificate."""
        files = Files.of(folder, "ca")
        if not files.certificate.exists():
            raise BadCertificate(f"there is no authority in {folder}: make one first")
        read_authorities(files.certificate)
        pair = files.read()
        key = load_pem_private_key(pair.key, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise BadCertificate(f"{files.key}: not a key that was made here")
        return cls(folder, pair.leaf, key)

    @classmethod
    def make(cls, folder: Path, *, force: bool = False) -> "Authority":
        """Make an authority. Raises BadCertificate if there is one, unless forced."""
        files = Files.of(folder, "ca")
        if not force and (files.certificate.exists() or files.key.exists()):
            raise BadCertificate(
                f"{folder} has an authority: whoever trusts it would refuse what a new one signs. "
                "--force makes one all the same"
            )
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        basic: Extension = (x509.BasicConstraints(ca=True, path_length=0), True)
        name = f"Forebay authority {secrets.token_hex(3)}"
        certificate, key = _signed(name, YEARS_10, [basic, (_usage(signs=True), True)])
        _keep(files, certificate, key)
        return cls(folder, certificate, key)

    @classmethod
    def open_or_make(cls, folder: Path) -> "Authority":
        has_one = Files.of(folder, "ca").certificate.exists()
        return cls.open(folder) if has_one else cls.make(folder)

    def server(self, hosts: Sequence[str], days: int = DAYS, name: str = "server") -> Files:
        """Issue a server's certificate for these names and addresses. Raises BadCertificate."""
        return self._issue(name, hosts[0], [_host(each) for each in hosts], [_SERVER], days)

    def client(self, name: str, days: int = DAYS) -> Files:
        return self._issue(name, name, [], [_CLIENT], days)

    def reissue(self, name: str) -> Files:
        """Issue a certificate anew, with the same names, use and time, and a new key."""
        path = self._folder / f"{name}.crt"
        old = x509.load_pem_x509_certificates(path.read_bytes())[0]
        days = max(1, (old.not_valid_after_utc - old.not_valid_before_utc - SKEW).days)
        use = old.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        common = old.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        return self._issue(name, str(common), list(names_of(old)), list(use), days)

    def has_signed(self, certificate: x509.Certificate) -> bool:
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except Exception:  # whatever it is, it is not ours
            return False
        return True

    def _issue(
        self,
        file: str,
        common: str,
        names: list[x509.GeneralName],
        use: list[x509.ObjectIdentifier],
        days: int,
    ) -> Files:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", file) or file == "ca":
            raise BadCertificate(f"{file!r} cannot name files: use letters, digits and -")
        if not 1 <= days <= YEARS_10:
            raise BadCertificate(f"a certificate holds for 1 to {YEARS_10} days, not {days}")
        extensions: list[Extension] = [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_usage(signs=False), True),
            (x509.ExtendedKeyUsage(use), False),
        ]
        if names:
            extensions.append((x509.SubjectAlternativeName(names), False))
        signer = self.certificate, self._key
        certificate, key = _signed(common[:64], days, extensions, signer)
        files = Files.of(self._folder, file)
        _keep(files, certificate, key)
        return files


def is_due(certificate: x509.Certificate) -> bool:
    """Returns whether the last third of its time has begun."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return datetime.now(UTC) > ends - (ends - begins) / 3


def lacks(certificate: x509.Certificate, hosts: Iterable[str]) -> bool:
    """Returns whether the certificate is missing one of the hosts."""
    return not {_host(each) for each in hosts} <= set(names_of(certificate))


def names_of(certificate: x509.Certificate) -> list[x509.GeneralName]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return list(extension.value)


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(text.strip("[]")))
    except ValueError:
        pass
    name = text.lower().rstrip(".")
    if not name.isascii():
        name = name.encode("idna").decode()
    if not _DNS.fullmatch(name) or len(name) > 253:
        raise BadCertificate(f"{text!r} is neither a host name nor an address")
    return x509.DNSName(name)


def _signed(
    common: str, days: int, extensions: Iterable[Extension], signer: Signer | None = None
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Returns a certificate and its new key. Without a signer, it signs itself."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    public, ends = key.public_key(), now + timedelta(days=days)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
    issuer, issuers_key = subject, key
    if signer:
        authority, issuers_key = signer
        issuer, ends = authority.subject, min(ends, authority.not_valid_after_utc)
    issuers_id: x509.AuthorityKeyIdentifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(
        issuers_key.public_key()
    )
    builder = x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number())
    builder = builder.not_valid_before(now - SKEW).not_valid_after(ends)
    identifiers = (x509.SubjectKeyIdentifier.from_public_key(public), False), (issuers_id, False)
    for extension, is_critical in (*identifiers, *extensions):
        builder = builder.add_extension(extension, critical=is_critical)
    return builder.sign(issuers_key, SHA256()), key


def _usage(*, signs: bool) -> x509.KeyUsage:
    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    without = dict.fromkeys((*others, "encipher_only", "decipher_only"), False)
    return x509.KeyUsage(digital_signature=True, key_cert_sign=signs, crl_sign=signs, **without)


def _keep(files: Files, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    """Write the key, then the certificate: a reader in between refuses them, as they do not fit."""
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    replace(files.key, private.decode())
    replace(files.certificate, certificate.public_bytes(Encoding.PEM).decode())
    files.certificate.chmod(0o644)
