"""Ids of requests: of version 7, in the order of time, and never the same."""

import time
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
