"""An authority, and certificates that it has signed."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


@dataclass
class Signed:
    """Paths of PEM files."""

    certificate: Path
    key: Path


class Authority:
    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder, self._name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(name, self._key, authority=True)
        self.own = self._kept(name, certificate, self._key)

    def sign(
        self, name: str, *, host: str = "localhost", days: int = 1, begins: int = -3
    ) -> Signed:
        """For `host`, from one day to another; 0 is today."""
        key = ec.generate_private_key(ec.SECP256R1())
        signed = self._sign(name, key, authority=False, host=host, days=days, begins=begins)
        return self._kept(name, signed, key)

    def _sign(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        *,
        authority: bool,
        host: str = "localhost",
        days: int = 1,
        begins: int = -3,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        names: list[x509.GeneralName] = [x509.DNSName(host)]
        if host == "localhost":
            names.append(x509.IPAddress(ip_address("127.0.0.1")))
        builder = (
            x509.CertificateBuilder()
            .subject_name(_named(name))
            .issuer_name(_named(self._name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins * DAY)
            .not_valid_after(now + days * DAY)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
        )
        for extension in self._needed_by_strict_clients(key.public_key(), signs=authority):
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self._key, SHA256())

    def _needed_by_strict_clients(
        self, key: ec.EllipticCurvePublicKey, *, signs: bool
    ) -> Iterator[x509.ExtensionType]:
        """Yields what Python 3.13 does not go without (VERIFY_X509_STRICT)."""
        yield x509.SubjectKeyIdentifier.from_public_key(key)
        yield x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        if signs:
            ciphers = ("key_encipherment", "data_encipherment", "encipher_only", "decipher_only")
            others = ("content_commitment", "key_agreement", "crl_sign")
            without = dict.fromkeys((*ciphers, *others), False)
            yield x509.KeyUsage(digital_signature=True, key_cert_sign=True, **without)

    def _kept(
        self, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
    ) -> Signed:
        signed = Signed(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        signed.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        signed.key.write_bytes(private)
        return signed


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
