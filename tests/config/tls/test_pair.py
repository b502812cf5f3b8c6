"""A fault of TLS files is reported in one line that names the file."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from config.tls.authority import Authority, Files
from config.tls.key_pair import BadCertificate, read, read_authorities
from tests.inference.api.grpc.certificates import Authority as Other

pytestmark = pytest.mark.unit


def refused(files: Files) -> str:
    with pytest.raises(BadCertificate) as problem:
        files.read()
    assert "\n" not in str(problem.value)
    return str(problem.value)


def test_a_good_one(server: Files) -> None:
    ends = datetime.fromtimestamp(server.read().not_after, UTC)
    assert timedelta(days=89) < ends - datetime.now(UTC) < timedelta(days=91)


def test_another_ones_key(authority: Authority, server: Files) -> None:
    server.key.write_bytes(authority.client("prometheus").key.read_bytes())
    assert f"{server.key} is not the key of {server.certificate}" in refused(server)


@pytest.mark.parametrize("kept", [0, 40, 300])
def test_half_written(server: Files, kept: int) -> None:
    for path in (server.key, server.certificate):
        whole = path.read_bytes()
        path.write_bytes(whole[: min(kept, len(whole) - 40)])
        assert f"{path}: no whole" in refused(server)
        path.write_bytes(whole)
    server.read()


def test_a_chain_that_is_cut_off(authority: Authority, server: Files) -> None:
    root = server.certificate.with_name("ca.crt").read_bytes()
    server.certificate.write_bytes(server.certificate.read_bytes() + root)
    server.read()
    server.certificate.write_bytes(server.certificate.read_bytes()[:-50])
    assert "no whole certificate" in refused(server)


def test_a_chain_of_strangers(tmp_path: Path, server: Files) -> None:
    stranger = Other(tmp_path, "stranger").own.certificate.read_bytes()
    server.certificate.write_bytes(server.certificate.read_bytes() + stranger)
    assert "CN=stranger did not sign the certificate before it" in refused(server)


def test_gone(server: Files) -> None:
    server.key.unlink()
    assert refused(server) == f"{server.key}: no such file or directory"


def test_no_permission(server: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(path: object, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", closed)
    assert refused(server) == f"{server.certificate}: permission denied"


def test_over_and_not_begun(tmp_path: Path) -> None:
    signed = Other(tmp_path).sign("server", days=-1)
    assert "the certificate ended at 20" in refused(Files(signed.certificate, signed.key))


def test_with_a_passphrase(server: Files) -> None:
    key = load_pem_private_key(server.key.read_bytes(), None)
    locked = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    server.key.write_bytes(locked)
    assert f"{server.key}: the key is encrypted: write it without" in refused(server)


@pytest.mark.parametrize(
    "key", [ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP192R1())]
)
def test_a_key_that_browsers_do_not_take(
    server: Files, key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
) -> None:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    server.key.write_bytes(pem)
    assert "do not take such a key: use ECDSA P-256" in refused(server)


def test_no_file_of_gigabytes_is_read(server: Files) -> None:
    with server.key.open("wb") as file:
        file.truncate(1 << 33)
    assert "too large" in refused(server)


def test_authorities(authority: Authority, server: Files, tmp_path: Path) -> None:
    root = server.certificate.with_name("ca.crt")
    assert read_authorities(root) == root.read_bytes()
    with pytest.raises(BadCertificate, match="CN=localhost is no authority: it may sign no"):
        read_authorities(server.certificate)
    assert x509.load_pem_x509_certificates(read_authorities(Other(tmp_path).own.certificate))


def test_read_takes_strings(server: Files) -> None:
    assert read(str(server.certificate), str(server.key)) == server.read()
