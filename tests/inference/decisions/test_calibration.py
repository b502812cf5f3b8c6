"""Calibrations turn scores into probabilities, and keep the order of the scores."""

import math
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.decisions import calibration
from inference.decisions.calibration import Unfit, logit, sigmoid
from inference.decisions.spec import Calibration

pytestmark = pytest.mark.unit
NOW = datetime(2026, 11, 30, tzinfo=UTC)
RATES = st.floats(0, 1)


def fitted(method: str, scores: Sequence[float], labels: Sequence[bool]) -> Calibration:
    origin = {"model": "m", "model_version": "1"}
    return calibration.fit(method, scores, labels, at=NOW, **origin)


def rows(seed: int, count: int, slope: float, intercept: float) -> tuple[list[float], list[bool]]:
    """Returns scores, and labels whose log-odds are `slope` * the score's + `intercept`."""
    dice = random.Random(seed)
    scores = [sigmoid(dice.gauss(-1, 2)) for _ in range(count)]
    return scores, [dice.random() < sigmoid(slope * logit(p) + intercept) for p in scores]


def loss(fitted: Calibration, scores: Sequence[float], labels: Sequence[bool]) -> float:
    total = 0.0
    for p, y in zip(scores, labels, strict=True):
        q = calibration.clipped(calibration.apply(fitted, p))
        total -= math.log(q if y else 1 - q)
    return total / len(scores)


def error(fitted: Calibration | None, scores: Sequence[float], labels: Sequence[bool]) -> float:
    """Returns the expected calibration error in ten bins."""
    bins: dict[int, list[tuple[float, bool]]] = {}
    for p, y in zip(scores, labels, strict=True):
        q = calibration.apply(fitted, p) if fitted else p
        bins.setdefault(min(9, int(q * 10)), []).append((q, y))
    gaps = [abs(sum(q for q, _ in rows) - sum(y for _, y in rows)) for rows in bins.values()]
    return sum(gaps) / len(scores)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.3, 2.5), st.floats(-3, 1))
def test_platt_recovers_the_line_that_made_the_labels(
    seed: int, slope: float, intercept: float
) -> None:
    scores, labels = rows(seed, 4_000, slope, intercept)
    platt = fitted("platt", scores, labels)
    assert platt.slope == pytest.approx(slope, abs=0.35)
    assert platt.intercept == pytest.approx(intercept, abs=0.45)
    true = Calibration("platt", "m", "1", 0, 0, "", slope=slope, intercept=intercept)
    assert loss(platt, scores, labels) <= loss(true, scores, labels) + 1e-4


def test_platt_turns_the_sign_of_a_model_that_has_it_wrong() -> None:
    scores, labels = rows(1, 4_000, -1.0, -1.0)
    assert fitted("platt", scores, labels).slope == pytest.approx(-1, abs=0.15)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_is_recovered(temperature: float) -> None:
    scores, labels = rows(2, 20_000, 1 / temperature, 0.0)
    assert fitted("temperature", scores, labels).temperature == pytest.approx(temperature, rel=0.1)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.lists(RATES, min_size=2, max_size=50))
def test_temperature_keeps_the_order_of_scores(seed: int, probes: list[float]) -> None:
    fit = fitted("temperature", *rows(seed, 200, 0.7, 0.0))
    values = [calibration.apply(fit, p) for p in sorted(probes)]
    assert values == sorted(values)
    distinct = sorted({round(p, 3) for p in probes if 0.01 < p < 0.99})
    applied = [calibration.apply(fit, p) for p in distinct]
    assert all(a < b for a, b in pairwise(applied)) or fit.temperature > 20


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(RATES, st.booleans()), min_size=1, max_size=60),
    st.lists(RATES, min_size=2, max_size=50),
)
def test_an_isotonic_calibration_never_falls(
    pairs: list[tuple[float, bool]], probes: list[float]
) -> None:
    scores, labels = rows(1, 500, 1.0, 0.0)
    scores, labels = scores + [p for p, _ in pairs], labels + [y for _, y in pairs]
    isotonic = fitted("isotonic", scores, labels)
    assert all(a < b for a, b in pairwise(isotonic.scores))
    assert all(a <= b for a, b in pairwise(isotonic.values))
    values = [calibration.apply(isotonic, p) for p in sorted(probes)]
    assert values == sorted(values)
    assert all(0 < value < 1 for value in values)


def test_an_isotonic_calibration_keeps_the_rate_of_its_rows() -> None:
    scores, labels = rows(3, 5_000, 1.7, -2.0)
    isotonic = fitted("isotonic", scores, labels)
    mean = sum(calibration.apply(isotonic, p) for p in scores) / len(scores)
    assert mean == pytest.approx(sum(labels) / len(labels), abs=0.002)


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_on_rows_of_its_own_a_calibration_is_close_to_the_truth(method: str) -> None:
    """A model trained on balanced rows says far too much at the natural rate."""
    train, test = rows(4, 5_000, 1.4, -3.0), rows(5, 5_000, 1.4, -3.0)
    assert error(None, *test) > 0.1
    assert error(fitted(method, *train), *test) < 0.02


def test_a_calibration_names_what_it_was_fitted_on() -> None:
    scores, labels = rows(6, 100, 1.0, 0.0)
    fit = fitted("temperature", scores, labels)
    assert (fit.model, fit.model_version, fit.rows) == ("m", "1", 100)
    assert fit.positives == sum(labels)
    assert fit.fitted_at == "2026-11-30T00:00:00+00:00"


@pytest.mark.parametrize(
    ("method", "scores", "labels", "words"),
    [
        ("magic", [0.5] * 50, [True] * 50, "temperature, platt, isotonic"),
        ("platt", [0.5] * 50, [True] * 49, "one label for each score"),
        ("platt", [0.5] * 49 + [math.nan], [True] * 50, "from 0 to 1"),
        ("platt", [0.5] * 49, [True] * 49, "at least 50 rows, not 49"),
        ("isotonic", [0.5] * 499, [True] * 499, "at least 500 rows"),
        ("platt", [0.5] * 50, [True] * 46 + [False] * 4, "at least 5 rows of each label"),
    ],
)
def test_rows_that_fit_nothing(
    method: str, scores: list[float], labels: list[bool], words: str
) -> None:
    with pytest.raises(Unfit, match=words):
        fitted(method, scores, labels)


@pytest.mark.parametrize("method", ["temperature", "platt", "isotonic"])
def test_equal_and_extreme_scores_do_no_harm(method: str) -> None:
    for scores in ([0.5] * 600, [0.0, 1.0] * 300):
        fit = fitted(method, scores, [True, False] * 300)
        assert 0 < calibration.apply(fit, 0.0) < 1
        assert 0 < calibration.apply(fit, 1.0) < 1
