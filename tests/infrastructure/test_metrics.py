"""Counting costs little, and no label says what nobody has foreseen."""

import threading
from collections.abc import Iterator

import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from infrastructure.metrics import (
    ANY_OF_FEW,
    FAMILIES,
    MOST,
    OTHER,
    Counter,
    Gauge,
    Histogram,
    Label,
    registry,
)

pytestmark = pytest.mark.unit
COLOUR = Label.of("colour", "red", "blue")


@pytest.fixture(autouse=True)
def own_families() -> Iterator[None]:
    before = dict(FAMILIES)
    yield
    FAMILIES.clear()
    FAMILIES.update(before)


def told() -> dict[tuple[str, ...], float]:
    text = generate_latest(registry()).decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_counter_counts_by_its_labels() -> None:
    family = Counter("test_balls_total", "Balls", COLOUR)
    family.of("red").value += 1
    family.of("red").value += 2
    family.of("").value += 1
    assert told()["test_balls_total", "red"] == 3
    assert told()["test_balls_total", ""] == 1


def test_the_first_failure_is_an_increase() -> None:
    """Of a series that begins at 1 Prometheus sees none."""
    Counter("test_balls_total", "Balls", COLOUR)
    Counter("test_all_total", "All")
    Counter("test_named_total", "Named", COLOUR, Label("name", ANY_OF_FEW))
    red, blue = ("test_balls_total", "red"), ("test_balls_total", "blue")
    wanted = dict.fromkeys([red, blue, ("test_all_total",)], 0)
    assert {name: value for name, value in told().items() if "test_" in name[0]} == wanted


def test_a_value_that_nobody_knows_is_other() -> None:
    family = Counter("test_balls_total", "Balls", COLOUR)
    for n in range(1000):
        family.of(f"sk-{n}").value += 1
    assert told()["test_balls_total", OTHER] == 1000
    assert "sk-" not in generate_latest(registry()).decode()


def test_a_family_is_bounded_whatever_its_labels_say() -> None:
    family = Counter("test_balls_total", "Balls", Label("name", ANY_OF_FEW))
    for n in range(MOST + 500):
        family.of(str(n)).value += 1
    assert told()["test_balls_total", OTHER] == 500
    assert len(list(next(family.collect()).samples)) == MOST + 1
    gauge = Gauge("test_height", "Height", Label("name", ANY_OF_FEW))
    gauge.set_all({(str(n),): n for n in range(MOST + 500)})
    assert len(next(gauge.collect()).samples) == MOST


def test_a_histogram_is_cumulative() -> None:
    family = Histogram("test_seconds", "Time", COLOUR, bounds=(0.1, 1))
    for value in (0.05, 0.1, 0.5, 7):
        family.of("red").observe(value)
    family.of("red").observe(0.2, 3)
    found = told()
    assert [found["test_seconds_bucket", "red", to] for to in ("0.1", "1.0", "+Inf")] == [2, 6, 7]
    assert found["test_seconds_count", "red"] == 7
    assert found["test_seconds_sum", "red"] == pytest.approx(8.25)


def test_a_gauge_that_nobody_knows_any_more_is_left_out() -> None:
    gauge = Gauge("test_height", "Height")
    gauge.set(3)
    assert told()["test_height",] == 3
    gauge.forget()
    assert ("test_height",) not in told()


def test_two_metrics_of_one_name_are_refused() -> None:
    Gauge("test_height", "Height")
    with pytest.raises(ValueError, match="test_height"):
        Gauge("test_height", "Height")


def test_threads_that_count_and_one_that_reads_lose_nothing() -> None:
    family = Counter("test_balls_total", "Balls", Label("name", ANY_OF_FEW))

    def count(name: str) -> None:
        for n in range(20_000):
            family.of("all").value += 1
            family.of(f"{name}{n % 50}").value += 1

    threads = [threading.Thread(target=count, args=[name]) for name in "abcd"]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        told()
    assert family.of("all").value == 80_000
