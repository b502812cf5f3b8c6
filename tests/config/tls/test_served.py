"""Files change, and what a port shows follows; or it stays, and a line says why."""

import logging
from collections.abc import Callable

import pytest

from config.tls.authority import Authority, Files
from config.tls.key_pair import BadCertificate
from config.tls.served_certificates import NOT_AFTER, Served

pytestmark = pytest.mark.unit
LookNow = Callable[[], None]


def of(files: Files, clients: str = "") -> Served:
    return Served("web", str(files.certificate), str(files.key), clients)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]


def test_renewed(authority: Authority, server: Files, look_now: LookNow) -> None:
    served = of(server)
    before, context = served.material, served.context()
    assert served.material is before
    assert served.context() is context
    authority.reissue("server")
    assert served.material is before, "the files are not looked at with each connection"
    look_now()
    assert served.material.pair.leaf.serial_number != before.pair.leaf.serial_number
    renewed = served.context()
    assert renewed is not context
    assert served.context() is renewed


def test_half_a_renewal_is_not_taken(
    authority: Authority, server: Files, look_now: LookNow, caplog: pytest.LogCaptureFixture
) -> None:
    served = of(server)
    before = served.material
    look_now()
    old = server.key.read_bytes()
    new = authority.reissue("server").key.read_bytes()
    server.key.write_bytes(old)
    assert [served.material, served.material] == [before, before]
    (line,) = told(caplog)
    assert line.startswith("TLS of web: keeps the certificate that ends 20")
    assert f"{server.key} is not the key of" in line
    server.key.write_bytes(new)
    assert served.material is not before
    assert served.context() is not None
    assert len(told(caplog)) == 1


def test_files_that_go_away(
    server: Files, look_now: LookNow, caplog: pytest.LogCaptureFixture
) -> None:
    served = of(server)
    before, context = served.material, served.context()
    look_now()
    key = server.key.read_bytes()
    server.key.unlink()
    assert served.material is before
    assert served.context() is context
    assert told(caplog)[0].endswith(f"{server.key}: no such file or directory")
    server.key.write_bytes(key)
    assert served.material == before


def test_a_start_with_wrong_ones(authority: Authority, server: Files) -> None:
    with pytest.raises(BadCertificate, match="is no authority"):
        of(server, clients=str(server.certificate))
    server.key.unlink()
    with pytest.raises(BadCertificate, match="no such file"):
        of(server)


def test_when_it_ends_is_a_figure(server: Files, look_now: LookNow) -> None:
    of(server)
    (family,) = NOT_AFTER.collect()
    (sample,) = family.samples
    assert sample.labels == {"certificate": "web"}
    assert sample.value == server.read().not_after
