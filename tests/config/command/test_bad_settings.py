"""Values that make no sense: each process ends with one line that names the variable."""

import pytest

from tests.fresh_start import started

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("FOREBAY_PORT", "-1", "from 1 to 65535"),
        ("FOREBAY_PORT", "0", "from 1 to 65535"),
        ("FOREBAY_PORT", "web", "from 1 to 65535"),
        ("FOREBAY_GRPC_PORT", "70000", "from 0 to 65535"),
        ("FOREBAY_METRICS_PORT", "70000", "at most 65535"),
        ("FOREBAY_CONNECTIONS", "-5", "at least 0"),
        ("DATABASE_URL", "nonsense", "like postgres://"),
        ("DATABASE_URL", "mysql://a:secret@h/x", "like postgres://"),
        ("DATABASE_URL", "postgres://a:secret@h:99999/x", "from 1 to 65535"),
        ("DATABASE_URL", "postgres://a:secret@h:1,h:0/x", "from 1 to 65535"),
        ("DATABASE_URL", "postgres://a:secret@h", "/forebay"),
        ("FOREBAY_REQUESTS_DATABASE_URL", "nonsense", "like postgres://"),
        ("REDIS_URL", "foo", "like redis://"),
        ("REDIS_URL", "redis://h:99999", "from 1 to 65535"),
        ("FOREBAY_TIME_ZONE", "Mars/Olympus", "like Europe/Berlin"),
        ("FOREBAY_TIME_ZONE", "../../etc/passwd", "like Europe/Berlin"),
        ("FOREBAY_DEMO", "no", "must be 1 or 0"),
        ("FOREBAY_DATABASE_SCOPE", "all", "must be none or system"),
    ],
)
def test_one_line_says_what_is_right(name: str, value: str, says: str) -> None:
    ended = started(**{name: value})
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1), ended.stderr
    assert ended.stderr.startswith(f"{name} must be")
    assert says in ended.stderr
    assert "secret" not in ended.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://a:b@h1:1,[::1]:2/x?sslmode=require"),
        ("DATABASE_URL", "postgres://a:b@/x?host=/run/postgresql&port=5433"),
        ("REDIS_URL", "redis://:pw@[::1]:6380/1"),
        ("FOREBAY_DEMO", "0"),
        ("FOREBAY_TIME_ZONE", "Asia/Shanghai"),
        ("FOREBAY_GRPC_PORT", "0"),
    ],
)
def test_what_is_right_starts(name: str, value: str) -> None:
    assert started(**{name: value}).returncode == 0
