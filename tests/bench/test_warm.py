"""Replayed conversations: the mock engine's prefix cache, and what the report says."""

from typing import Any

import orjson
import pytest

from bench.mock_engine.prompt_cache import PromptCache
from bench.parts.queue import warm
from bench.parts.queue.warm import OFF, ON, Replay, Turn, WarmReport

pytestmark = pytest.mark.unit
LONG = "word " * 80


def body(*texts: str) -> bytes:
    messages: list[Any] = [{"role": "user", "content": text} for text in texts]
    return orjson.dumps({"model": "mock", "messages": messages})


def test_a_turn_has_the_one_before_cached() -> None:
    cache = PromptCache()
    first, none = cache.take(body(LONG), 2)
    whole, cached = cache.take(body(LONG, "and"), 2)
    assert (none, cached) == (0, first)
    assert whole > first


def test_it_keeps_the_latest_prompts() -> None:
    cache = PromptCache()
    for text in ("a", "b", "c"):
        cache.take(body(text + LONG), 2)
    assert cache.take(body("b" + LONG), 2)[1] > 0
    assert cache.take(body("a" + LONG), 2)[1] == 0


def test_the_report_compares_the_cached_part_and_the_first_token() -> None:
    def replay(way: str, first_ms: float, cached: int) -> Replay:
        turns = [Turn(1, 900.0, 1000, 0), Turn(5, first_ms, 1500, cached)]
        return Replay("mock", way, turns, possible=1000)

    replays = [replay(OFF, 400.0, 300), replay(ON, 100.0, 950)]
    replays += [Replay("llama.cpp", way) for way in (OFF, ON)]
    report = WarmReport(1, 5, replays)
    assert "| mock | warm engines | 95.0% | 900 | | 100 |" in warm.section(report).replace(
        "  ", " "
    )
    assert [(aim.value, aim.met) for aim in warm.aims(report)] == [
        (0.95, True),
        (0.25, True),
        (None, None),
        (None, None),
    ]
