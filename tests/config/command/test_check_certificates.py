"""`forebay check` reports each certificate in a line that names the file and its fault."""

import stat
from pathlib import Path

import pytest

from config.command import check
from config.command.checks.transport import certificates
from config.tls import configured_files
from tests.inference.api.grpc.certificates import Authority, Signed

pytestmark = pytest.mark.unit


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else is looked at."""
    monkeypatch.setattr(check, "_findings", certificates)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> "Said":
    return Said(monkeypatch, capsys)


class Said:
    def __init__(self, patch: pytest.MonkeyPatch, printed: pytest.CaptureFixture[str]) -> None:
        self._patch, self._printed = patch, printed

    def of(self, signed: Signed, **more: str) -> str:
        """The one line, with the word before it; the exit code goes by that."""
        certificate, key = str(signed.certificate), str(signed.key)
        told = {"TLS_CERTIFICATE": certificate, "TLS_KEY": key, **more}
        for name, value in told.items():
            self._patch.setenv(f"FOREBAY_{name}", value)
        code = check.check([])
        *lines, end = self._printed.readouterr().out.strip().splitlines()
        failed = sum(line.startswith("fail") for line in lines)
        assert code == bool(failed)
        assert end == (f"{failed} to mend" if failed else "Forebay can start")
        return "\n".join(line for line in lines if line)


def test_a_good_one(authority: Authority, said: Said) -> None:
    signed = authority.sign("server", days=40)
    line = said.of(signed)
    assert line.startswith(f"ok    certificate: {signed.certificate} until 20")
    assert line.endswith(" UTC")


def test_near_its_end(authority: Authority, said: Said) -> None:
    signed = authority.sign("server", days=13)
    line = said.of(signed)
    assert line.startswith(f"warn  certificate: {signed.certificate} until 20")
    assert line.endswith(" UTC: renew it")
    assert said.of(authority.sign("server", days=15)).startswith("ok ")


def test_over(authority: Authority, said: Said) -> None:
    signed = authority.sign("server", days=-1)
    line = f"fail  certificate: {signed.certificate}: the certificate ended at 20"
    assert said.of(signed).startswith(line)


def test_not_begun(authority: Authority, said: Said) -> None:
    signed = authority.sign("server", begins=1, days=90)
    line = said.of(signed)
    assert line.startswith(f"fail  certificate: {signed.certificate}: the certificate begins at 20")
    assert line.endswith(" only")


def test_of_another_key(authority: Authority, said: Said) -> None:
    one, other = authority.sign("one"), authority.sign("other")
    assert said.of(Signed(one.certificate, other.key)) == (
        f"fail  certificate: {other.key} is not the key of {one.certificate}: one may not be "
        "renewed yet"
    )


def test_half_written(authority: Authority, said: Said) -> None:
    signed = authority.sign("server")
    signed.key.write_bytes(signed.key.read_bytes()[:80])
    line = f"fail  certificate: {signed.key}: no whole private key in PEM: it may be half written"
    assert said.of(signed) == line
    signed.certificate.write_text("")
    assert said.of(signed).endswith("no whole certificate in PEM: it may be half written")


def test_not_readable_and_not_there(
    authority: Authority, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = authority.sign("server")
    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", closed_to_us)
        signed.key.chmod(0)
        assert said.of(signed) == f"fail  certificate: {signed.key}: permission denied"
    signed.key.unlink()
    assert said.of(signed) == f"fail  certificate: {signed.key}: no such file or directory"


def closed_to_us(path: object, mode: str = "r") -> object:
    """Open a file as any user but root does, who could read everything."""
    if stat.S_IMODE(Path(str(path)).stat().st_mode) == 0:
        raise PermissionError(13, "Permission denied")
    return Path(str(path)).open(mode)  # noqa: SIM115  # whoever asked closes it


def test_one_of_grpc_alone(authority: Authority, said: Said) -> None:
    """Each of two wrong certificates has its line."""
    late = authority.sign("grpc", days=-1)
    own = {"GRPC_CERTIFICATE": str(late.certificate), "GRPC_PRIVATE_KEY": str(late.key)}
    both = said.of(authority.sign("server", days=90), **own).splitlines()
    assert subjects(both) == ["ok    certificate", "fail  certificate of gRPC"]
    own["GRPC_PRIVATE_KEY"] = str(authority.sign("other").key)
    both = said.of(late, **own).splitlines()
    assert subjects(both) == ["fail  certificate", "fail  certificate of gRPC"]


def subjects(lines: list[str]) -> list[str]:
    return [line.split(":")[0] for line in lines]


def test_authorities_of_clients(authority: Authority, said: Said) -> None:
    signed, good = authority.sign("server", days=90), str(authority.own.certificate)
    _, line = said.of(signed, METRICS_CLIENT_CA=good).splitlines()
    assert line == f"ok    FOREBAY_METRICS_CLIENT_CA: clients show a certificate of {good}"
    _, line = said.of(signed, METRICS_CLIENT_CA=str(signed.certificate)).splitlines()
    assert line == (
        f"fail  FOREBAY_METRICS_CLIENT_CA: {signed.certificate}: CN=server is no authority: it may "
        "sign no certificates"
    )


def test_what_we_make_ourselves_is_not_missed(
    said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configured_files, "FOLDER", tmp_path)
    own = Signed(tmp_path / "server.crt", tmp_path / "server.key")
    line = said.of(own)
    assert line.startswith("warn  certificate: `forebay run` makes one; others need it before: ")
