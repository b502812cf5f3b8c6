"""The trace of the cache's benchmark: the same from the same seed, and Zipf's."""

from collections import Counter

import pytest

from bench.parts.cache_trace import CacheReport, Row, section, trace

pytestmark = pytest.mark.unit


def test_a_seed_makes_one_trace() -> None:
    assert trace(7, 1.0, 500, 100) == trace(7, 1.0, 500, 100)
    assert trace(7, 1.0, 500, 100) != trace(8, 1.0, 500, 100)


def test_the_first_prompt_is_asked_most() -> None:
    asked = Counter(prompt for prompt, _ in trace(7, 1.0, 20_000, 100))
    assert asked.most_common(1)[0][0] == 0
    assert 1.7 < asked[0] / asked[1] < 2.3


def test_rates_are_of_the_requests_that_looked() -> None:
    row = Row(1.0, {"l1": 30, "l2": 20, "shared": 10, "miss": 40, "": 50}, 90, 2.0, 30.0)
    text = section(CacheReport(7, 150, 100, [row], {"hit": [2.0, 4.0], "fresh": [3.0, 6.0]}))
    assert "| 1 | 30.0% | 20.0% | 10.0% | 60.0% | 90 of 150 |" in text
