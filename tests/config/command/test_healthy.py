"""`forebay healthy`: which process it asks, and what it says where nothing runs."""

import pytest

from config.command import healthy
from config.supervisor.ports import find_free

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("process_1", "role"),
    [
        ("python -m config.web_server", "web"),
        ("python -m config.grpc_server", "grpc"),
        ("python -m config.celery_process -A config worker -Q engine.a", "worker"),
        ("python -m config.celery_process -A config beat", "other"),
        ("[celeryd: jobs@pod:MainProcess] -active- (-A config worker -Q jobs)", "worker"),
        ("[celery beat] -A config beat", "other"),
        ("python /opt/forebay/bin/forebay migrate", "other"),
        ("python -m config.supervisor", "web"),
        ("/usr/lib/systemd/systemd --system", "web"),
        ("/sbin/init", "web"),
    ],
)
def test_process_1_says_what_is_asked(process_1: str, role: str) -> None:
    assert healthy._role(process_1.replace(" ", "\0").encode()) == role


@pytest.mark.parametrize("process_1", ["/sbin/init", "python -m config.supervisor"])
def test_where_nothing_runs_it_says_so(
    process_1: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(healthy, "_process_1", lambda: process_1.replace(" ", "\0").encode())
    monkeypatch.setenv("FOREBAY_PORT", str(find_free()))
    assert healthy.healthy([]) == 1
    assert "web: " in capsys.readouterr().err
