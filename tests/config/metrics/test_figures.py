"""Figures of the whole platform are read seldom, and a source that is away harms no other."""

import threading
import time

import pytest

from config.metrics import scraped_sources
from config.metrics.scraped_sources import ScrapedFigures, Source

pytestmark = pytest.mark.unit


def readable() -> dict[str, float]:
    (metric,) = scraped_sources.READABLE.collect()
    return {sample.labels["source"]: sample.value for sample in metric.samples}


class Read:
    def __init__(self, problem: Exception | None = None) -> None:
        self.problem, self.times, self.forgotten = problem, 0, 0

    def read(self) -> None:
        self.times += 1
        if self.problem:
            raise self.problem

    def forget(self) -> None:
        self.forgotten += 1

    @property
    def source(self) -> Source:
        return Source(self.read, self.forget)


def test_one_that_is_away_is_left_out_and_the_others_are_read() -> None:
    away, there = Read(OSError("away")), Read()
    ScrapedFigures({"valkey": away.source, "queue": there.source}).bring()
    assert readable() == {"valkey": 0, "queue": 1}
    assert (away.forgotten, there.forgotten, there.times) == (1, 0, 1)


def test_they_are_not_read_again_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Read()
    known = ScrapedFigures({"queue": source.source})
    for _ in range(5):
        known.bring()
    assert source.times == 1
    monkeypatch.setattr(scraped_sources, "EVERY_S", 0.0)
    known.bring()
    assert source.times == 2


def test_a_scrape_does_not_wait_for_one_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scraped_sources, "WAIT_S", 0.05)
    monkeypatch.setattr(scraped_sources, "EVERY_S", 0.0)
    over, begun = threading.Event(), list[float]()

    def hang() -> None:
        begun.append(time.monotonic())
        over.wait(20)

    known = ScrapedFigures({"queue": Source(hang, lambda: None)})
    began = time.monotonic()
    known.bring()
    known.bring()
    assert time.monotonic() - began < 5
    assert len(begun) == 1  # a second reader would hang beside the first
    over.set()
