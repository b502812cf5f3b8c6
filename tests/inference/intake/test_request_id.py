"""Ids of requests: of version 7, in the order of time, and never the same."""

import time
from datetime import UTC, datetime, timedelta
from uuid import RFC_4122

import pytest

from inference import request_id

pytestmark = pytest.mark.unit


def test_they_are_of_version_7_and_tell_their_time() -> None:
    before = time.time_ns() // 1_000_000
    one = request_id.new()
    after = time.time_ns() // 1_000_000
    assert (one.version, one.variant) == (7, RFC_4122)
    assert before <= one.int >> 80 <= after


def test_one_of_a_time_that_has_passed_tells_that_time() -> None:
    assert request_id.new(1_764_590_400.25).int >> 80 == 1_764_590_400_250


def test_requests_received_between_two_times_have_their_ids_between_the_bounds() -> None:
    since, until = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
    first, last = request_id.bounds(since, until)
    for at in (since, since + timedelta(microseconds=999), until - timedelta(microseconds=1)):
        assert first <= request_id.new(at.timestamp()) < last
    assert request_id.new(since.timestamp() - 1) < first
    assert last < request_id.new(until.timestamp() + 60)


def test_any_two_times_have_bounds() -> None:
    since, until = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    first, last = request_id.bounds(since, until)
    assert first < request_id.new() < last


def test_later_ones_come_after_earlier_ones() -> None:
    earlier = request_id.new()
    time.sleep(0.002)
    assert earlier < request_id.new()


def test_those_of_one_moment_differ_in_all_random_bits() -> None:
    ids = {request_id.new().int for _ in range(10_000)}
    assert len(ids) == 10_000
    always, never = ~0, 0
    for number in ids:
        always, never = always & number, never | number
    random = (1 << 12) - 1 << 64 | (1 << 62) - 1
    assert always & random == 0
    assert never & random == random
