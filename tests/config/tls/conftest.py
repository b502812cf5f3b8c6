from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config.tls import served_certificates
from config.tls.authority import Authority, Files


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.make(tmp_path / "tls")


@pytest.fixture
def server(authority: Authority) -> Files:
    return authority.server(["localhost", "127.0.0.1"])


@pytest.fixture
def look_now(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Returns a function after whose call each connection looks at the files."""
    yield lambda: monkeypatch.setattr(served_certificates, "EVERY_S", -1.0)
    served_certificates._served.clear()
