"""`make bench-check`: which ratios fell too far, and what is said about them."""

import pytest

from bench.check import RATIOS, inconclusive, slides, verdict
from bench.report.history import Line, line_of
from tests.bench.runs import results, row

pytestmark = pytest.mark.unit
JSON_OURS = ("json c=64", "Forebay")
BEFORE = dict.fromkeys(RATIOS, 20.0)


def test_nothing_fell() -> None:
    assert slides(BEFORE, BEFORE) == []
    assert slides(dict.fromkeys(RATIOS, 17.1), BEFORE) == []
    assert slides(dict.fromkeys(RATIOS, 30.0), BEFORE) == []


@pytest.mark.parametrize("column", RATIOS)
def test_more_than_15_percent_less_is_a_slide(column: str) -> None:
    (slide,) = slides(BEFORE | {column: 16.9}, BEFORE)
    assert (slide.column, slide.before, slide.now) == (column, 20.0, 16.9)
    assert str(slide) == f"{RATIOS[column]}: 16.9 x, 16% under 20 x"


def test_what_cannot_be_measured_any_more_is_a_slide() -> None:
    (slide,) = slides(BEFORE | {"json_64_rps_x": None}, BEFORE)
    assert slide.now == 0


def test_what_was_not_measured_before_is_none() -> None:
    assert slides(BEFORE, {}) == []


def test_the_verdict_names_the_slide_and_what_to_do() -> None:
    last, slow = line_of(results()), results()
    slow.comparison = [one for one in slow.comparison if (one.load, one.target) != JSON_OURS]
    slow.comparison.append(row(*JSON_OURS, 0.5, rps=1000.0))
    text = verdict(slow, last, slides(slow.key_figures(), last.figures))
    assert "SLIDE: 64 JSON requests at once: requests/s against LiteLLM: 10 x, 50% under" in text
    assert "git bisect" in text
    assert "abc1234" in text


def test_the_verdict_of_no_slide() -> None:
    last = line_of(results())
    text = verdict(results(), last, [])
    assert "No key ratio fell by more than 15%." in text
    assert "SLIDE" not in text
    assert "git bisect" not in text


def test_the_verdict_tells_of_another_litellm() -> None:
    last = line_of(results())
    older = Line({**last.about, "litellm": "1.108.7"}, last.figures)
    assert "LiteLLM is 1.110.2 now" in verdict(results(), older, [])


@pytest.mark.parametrize(("bad", "says_nothing"), [(0, False), (1, False), (2, True)])
def test_a_litellm_that_fails_is_nothing_to_compare_with(bad: int, says_nothing: bool) -> None:
    rows = results().comparison
    for one in rows:
        one.bad = bad if one.target == "LiteLLM" else 10
    assert bool(inconclusive(rows)) is says_nothing
