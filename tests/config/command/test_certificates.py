"""`forebay certificates`."""

import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from config.command.certificates import certificates
from config.tls.authority import Authority, Files, is_due

pytestmark = pytest.mark.unit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tls"


def run(folder: Path, *arguments: str) -> None:
    certificates(["--folder", str(folder), *arguments])


def refused(folder: Path, *arguments: str) -> str:
    with pytest.raises(SystemExit) as problem:
        run(folder, *arguments)
    return str(problem.value)


def leaf(folder: Path, name: str) -> x509.Certificate:
    return Files.of(folder, name).read().leaf


def names(certificate: x509.Certificate) -> list[str]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(each.value) for each in found]


def use(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def test_a_server_with_its_authority(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(folder, "server", "forebay.example.com", "10.0.0.7", "fd00::1", "*.a.example.com")
    said = capsys.readouterr().out
    assert f"{folder}/ca.crt and ca.key, until 20" in said
    assert f"{folder}/server.crt and server.key, until 20" in said
    server = leaf(folder, "server")
    assert names(server) == ["forebay.example.com", "10.0.0.7", "fd00::1", "*.a.example.com"]
    assert use(server) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert Authority.open(folder).has_signed(server)


def test_keys_are_private(folder: Path) -> None:
    run(folder, "server")
    for path in folder.iterdir():
        private = path.suffix == ".key"
        assert stat.S_IMODE(path.stat().st_mode) == (0o600 if private else 0o644), path
    assert not list(folder.glob(".*")), "no draft stays"


def test_an_authority_is_not_overwritten(folder: Path) -> None:
    run(folder, "authority")
    before = (folder / "ca.crt").read_bytes(), (folder / "ca.key").read_bytes()
    assert "--force" in refused(folder, "authority")
    (folder / "ca.crt").unlink()
    assert "--force" in refused(folder, "authority"), "its key is still there"
    assert (folder / "ca.key").read_bytes() == before[1]
    run(folder, "authority", "--force")
    assert (folder / "ca.key").read_bytes() != before[1]


def test_a_client(folder: Path) -> None:
    run(folder, "client", "prometheus", "--days", "30")
    client = leaf(folder, "prometheus")
    assert use(client) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert 29 <= (client.not_valid_after_utc - client.not_valid_before_utc).days <= 30


@pytest.mark.parametrize("name", ["ca", "../etc/x", "", "a b", "-x"])
def test_names_of_files(folder: Path, name: str) -> None:
    assert "cannot name files" in refused(folder, "client", "--", name)
    assert "cannot name files" in refused(folder, "server", f"--name={name}", "localhost")


@pytest.mark.parametrize("host", ["http://a", "a b", "-a", "a..b", "x" * 64, "a/b"])
def test_what_is_no_host(folder: Path, host: str) -> None:
    assert "neither a host name nor an address" in refused(folder, "server", "--", host)


@pytest.mark.parametrize("days", ["0", "-1", "4000"])
def test_how_long(folder: Path, days: str) -> None:
    assert "1 to 3650 days" in refused(folder, "server", f"--days={days}")


def test_renewing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(folder, "server", "a.example.com", "10.0.0.7", "--days", "30")
    run(folder, "client", "prometheus")
    before = leaf(folder, "server"), leaf(folder, "prometheus")
    run(folder, "renew")
    assert capsys.readouterr().out.count("not due") == 2
    assert leaf(folder, "server") == before[0]
    run(folder, "renew", "--all")
    server, client = leaf(folder, "server"), leaf(folder, "prometheus")
    assert server != before[0]
    assert server.public_key() != before[0].public_key()
    assert names(server) == names(before[0])
    assert use(client) == use(before[1])
    lasts = server.not_valid_after_utc - server.not_valid_before_utc
    assert lasts.days == 30
    assert not is_due(server)


def test_listing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no authority" in refused(folder, "list")
    run(folder, "server", "a.example.com")
    (folder / "other.crt").write_text("nothing")
    capsys.readouterr()
    run(folder, "list")
    said = capsys.readouterr().out
    assert "a.example.com" in said
    assert "other.crt is no certificate" in said
