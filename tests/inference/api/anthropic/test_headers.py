"""Headers in Anthropic's names."""

from datetime import UTC, datetime, timedelta

import pytest

from inference.api import limit_headers
from inference.api.anthropic.headers import own, until
from inference.errors import Headers

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("ms", [0, 1, 120, 999, 1000, 7660, 60_000, 61_500, 3_600_000, 90_061_000])
def test_a_duration_is_read_as_it_was_written(ms: int) -> None:
    assert until(limit_headers.duration(ms).encode()) == timedelta(milliseconds=ms)


def test_only_limits_that_are_set_have_headers() -> None:
    id_alone: Headers = [(b"x-request-id", b"r-1"), (b"content-type", b"x")]
    assert own(id_alone) == [(b"request-id", b"r-1")]
    tokens: Headers = [
        (b"x-ratelimit-limit-tokens", b"1000"),
        (b"x-ratelimit-remaining-tokens", b"10"),
        (b"x-ratelimit-reset-tokens", b"6m0s"),
    ]
    lines = dict(own([*id_alone, *tokens]))
    reset = datetime.fromisoformat(lines.pop(b"anthropic-ratelimit-tokens-reset").decode())
    assert 355 <= (reset - datetime.now(UTC)).total_seconds() <= 360
    assert lines == {
        b"request-id": b"r-1",
        b"anthropic-ratelimit-tokens-limit": b"1000",
        b"anthropic-ratelimit-tokens-remaining": b"10",
    }
