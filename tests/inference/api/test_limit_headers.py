"""Limits in the words of OpenAI's API."""

import re

import orjson
import pytest

from inference.api.grpc.errors import details_of
from inference.api.limit_headers import duration, headers
from inference.api.refusals import limit_reached
from inference.intake.errors import NotAdmitted
from tenants.models.refusal import RefusedBy
from tenants.rate_limits.admission import Admission, TierRest

pytestmark = pytest.mark.unit


def refused(tier: str, frees_in_ms: int = 1500) -> NotAdmitted:
    left = TierRest(limit=100, remaining=0, full_in_ms=120_000)
    admission = Admission(
        tier, 100, 200, frees_in_ms, scope=tier, requests=left, tokens=TierRest(5000, 12, 700)
    )
    found = NotAdmitted(admission, "all 100 are used" if tier == RefusedBy.QUOTA else "")
    found.refusal_id = "ref_0123456789abcdef0123456789abcdef"
    return found


@pytest.mark.parametrize("tier", RefusedBy.values)
def test_every_tier_says_which_how_much_and_when(tier: str) -> None:
    error = limit_reached(refused(tier))
    told = orjson.loads(error.body())["error"]
    found = dict(error.headers())
    assert error.status == 429
    assert told["refusal_id"] == found[b"x-refusal-id"].decode()
    renewal = r"renews at \d\d:\d\d UTC, in 1 min" if tier == RefusedBy.QUOTA else "in 2 s"
    assert re.search(rf"\b100\b.* {renewal} .*\({tier}, ref_", told["message"])
    assert (found[b"retry-after"], found[b"retry-after-ms"]) == (b"2", b"1500")
    assert found[b"x-ratelimit-scope"] == tier.encode()
    assert found[b"x-ratelimit-limit-requests"] == b"100"
    assert found[b"x-ratelimit-remaining-requests"] == b"0"
    assert found[b"x-ratelimit-reset-requests"] == b"2m0s"
    assert found[b"x-ratelimit-remaining-tokens"] == b"12"
    assert found[b"x-ratelimit-reset-tokens"] == b"700ms"


@pytest.mark.parametrize("tier", ["bytes", "key_bytes", "stored", "key_stored"])
def test_limits_of_bytes_have_headers_of_their_own(tier: str) -> None:
    error = limit_reached(NotAdmitted(Admission(tier, 32_000_000, 30_000_000, 1500)))
    found = dict(error.headers())
    assert found[b"x-ratelimit-limit-bytes"] == b"32000000"
    assert found[b"x-ratelimit-remaining-bytes"] == b"2000000"
    assert found[b"x-ratelimit-reset-bytes"] == b"1.5s"
    assert b"x-ratelimit-limit-bytes" not in dict(limit_reached(refused("rate")).headers())


def test_a_quota_is_not_to_be_tried_again() -> None:
    error = limit_reached(refused("quota"))
    assert error.code == orjson.loads(error.body())["error"]["type"] == "insufficient_quota"
    assert (b"x-should-retry", b"false") in error.headers()
    assert (b"x-should-retry", b"false") not in limit_reached(refused("rate")).headers()
    assert limit_reached(refused("rate")).code == "rate_limit_exceeded"


@pytest.mark.parametrize(
    ("unit", "advice"), [("tokens", "send a lower max_tokens"), ("requests", "no window has room")]
)
def test_a_quota_that_is_too_small_as_a_whole_tells_no_time(unit: str, advice: str) -> None:
    never = Admission("quota", 700, 0, 40_000_000, unit=unit, window="day", asked=1_116)
    error = limit_reached(NotAdmitted(never, "700 do not suffice"))
    names = {name for name, _value in error.headers()}
    assert not names & {b"retry-after", b"retry-after-ms"}
    assert b"x-should-retry" in names
    assert advice in error.message
    assert b"RetryInfo" not in details_of(error)
    assert b"RetryInfo" in details_of(limit_reached(refused("quota")))


def test_of_what_is_not_limited_nothing_is_said() -> None:
    assert headers(Admission("")) == []
    only_tokens = dict(headers(Admission("", scope="tokens", tokens=TierRest(10, 3, 5))))
    assert set(only_tokens) == {
        b"x-ratelimit-limit-tokens",
        b"x-ratelimit-remaining-tokens",
        b"x-ratelimit-reset-tokens",
        b"x-ratelimit-scope",
    }


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0ms"),
        (120, "120ms"),
        (1000, "1s"),
        (7660, "7.66s"),
        (60_000, "1m0s"),
        (360_000, "6m0s"),
        (3_600_000, "1h0m0s"),
        (3_661_500, "1h1m1.5s"),
    ],
)
def test_durations_are_openais(ms: int, text: str) -> None:
    assert duration(ms) == text
