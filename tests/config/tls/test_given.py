"""The environment's variables of TLS, and a supervisor's use of them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from config import environment
from config.environment import EnvironmentProblem
from config.supervisor import options
from config.supervisor.own_certificates import OwnCertificates
from config.supervisor.welcome import _curl
from config.tls import configured_files
from config.tls.authority import Authority, Files, names_of

pytestmark = pytest.mark.unit
Say = Callable[..., None]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Say:
    """The variables, and nothing that a running platform left."""
    monkeypatch.setattr(environment, "_running", dict)
    monkeypatch.setattr(configured_files, "FOLDER", tmp_path / "tls")

    def told(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(f"FOREBAY_{name}", value)

    return told


def test_off_unless_asked_for(say: Say) -> None:
    assert configured_files.own_files() == ("", "")
    assert environment.public_url("127.0.0.1", 8000) == "http://localhost:8000"


def test_a_certificate_that_is_named(say: Say) -> None:
    say(TLS_CERTIFICATE="/a.crt", TLS_KEY="/a.key")
    assert configured_files.own_files() == ("/a.crt", "/a.key")
    assert configured_files.grpc_files(configured_files.own_files()) == ("/a.crt", "/a.key")
    assert environment.public_url("127.0.0.1", 8000) == "https://localhost:8000"
    say(GRPC_CERTIFICATE="/b.crt", GRPC_PRIVATE_KEY="/b.key")
    assert configured_files.grpc_files(configured_files.own_files()) == ("/b.crt", "/b.key")


@pytest.mark.parametrize(
    ("variables", "what"),
    [
        ({"TLS": "maybe"}, "must be on or off"),
        # Or our ports had TLS, while connections of ours could be older.
        ({"TLS": "ON"}, "must be on or off"),
        ({"TLS": "off", "TLS_CERTIFICATE": "/a.crt", "TLS_KEY": "/a.key"}, "unset one of them"),
        ({"TLS_CERTIFICATE": "/a.crt"}, "set FOREBAY_TLS_KEY as well"),
        ({"TLS_KEY": "/a.key"}, "set FOREBAY_TLS_CERTIFICATE as well"),
        ({"GRPC_CLIENT_CA": "/ca.crt"}, "FOREBAY_GRPC_CLIENT_CA needs TLS"),
        ({"GRPC_CERTIFICATE": "/a.crt"}, "and FOREBAY_GRPC_PRIVATE_KEY both"),
        ({"METRICS_CLIENT_CA": "/ca.crt"}, "FOREBAY_METRICS_CLIENT_CA needs TLS"),
    ],
)
def test_what_cannot_be(say: Say, variables: dict[str, str], what: str) -> None:
    say(**variables)
    with pytest.raises(EnvironmentProblem, match=what):
        configured_files.grpc_files(configured_files.own_files())
        for name in (configured_files.GRPC_CLIENTS, configured_files.METRICS_CLIENTS):
            configured_files.client_authorities(name, configured_files.own_files())


def own(folder: Path) -> OwnCertificates:
    found = OwnCertificates.wanted(options.read())
    assert found
    found.make()
    return found


def test_own_ones_are_made_and_kept(say: Say, tmp_path: Path) -> None:
    say(TLS="on", ALLOWED_HOSTS="gpu-1.example.com, .b.example.com,*", PUBLIC_URL="https://a.test")
    own(tmp_path)
    files = Files.of(tmp_path / "tls", "server")
    assert configured_files.own_files() == (str(files.certificate), str(files.key))
    first = files.read().leaf
    named = {str(each.value) for each in names_of(first)}
    hosts = {"gpu-1.example.com", "*.b.example.com", "a.test"}
    assert named == {"localhost", "127.0.0.1", "::1"} | hosts
    own(tmp_path)
    assert files.read().leaf == first
    say(ALLOWED_HOSTS="other.example.com")
    own(tmp_path)
    second = files.read().leaf
    assert second != first
    assert Authority.open(tmp_path / "tls").has_signed(first), "the authority stays"
    files.key.write_text("")
    own(tmp_path)
    assert files.read().leaf != second


def test_near_its_end_it_is_made_again(say: Say, tmp_path: Path) -> None:
    say(TLS="on")
    own(tmp_path)
    authority = Authority.open(tmp_path / "tls")
    short = authority.server(["localhost", "127.0.0.1", "::1"], days=1).read().leaf
    lasts = short.not_valid_after_utc - short.not_valid_before_utc
    assert lasts.days == 1
    own(tmp_path)
    assert Files.of(tmp_path / "tls", "server").read().leaf == short, "it is fresh"


def test_given_ones_are_left_alone(say: Say) -> None:
    say(TLS="on", TLS_CERTIFICATE="/a.crt", TLS_KEY="/a.key")
    assert OwnCertificates.wanted(options.read()) is None


def test_what_to_paste_trusts_the_own_authority_alone(say: Say, tmp_path: Path) -> None:
    say(TLS="on")
    own(tmp_path)
    told = _curl("https://localhost:8000", "key", "model")
    assert told.startswith(f"curl --cacert {tmp_path}/tls/ca.crt https://localhost:8000/v1/")
    say(TLS_CERTIFICATE="/a.crt", TLS_KEY="/a.key")
    assert _curl("https://a.test", "key", "model").startswith("curl https://a.test/v1/")
    assert _curl("http://localhost", "key", "model").startswith("curl http://")
