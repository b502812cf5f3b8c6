"""Turns scores into probabilities: fits a calibration on labelled rows, and applies it.

A model's p(yes) orders inputs; how often `yes` is right, it does not say. A calibration is fitted
on rows of their own, at the rate at which the event happens in production: on balanced rows it
would promise far too much. Methods: temperature (Guo et al. 2017), Platt (1999, with that paper's
smoothed targets) and isotonic regression by pooling neighbours that are out of order.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import datetime

from inference.decisions.spec import Calibration

LEAST_ROWS, LEAST_OF_EACH = 50, 5
LEAST_FOR_ISOTONIC = 500  # fewer make steps of a few rows each
EDGE = 1e-6  # scores are kept so far from 0 and 1: their log-odds are finite
_COLDEST, _HOTTEST = 0.02, 50.0  # temperatures
_STEPS, _HALVINGS = 100, 80


class Unfit(Exception):
    """The rows fit no calibration. The message is a sentence for people."""


def clipped(p: float) -> float:
    return min(max(p, EDGE), 1 - EDGE)


def logit(p: float) -> float:
    p = clipped(p)
    return math.log(p / (1 - p))


def sigmoid(x: float) -> float:
    if x >= 0:
        return 1 / (1 + math.exp(-x))
    return math.exp(x) / (1 + math.exp(x))


def fit(
    method: str,
    scores: Sequence[float],
    labels: Sequence[bool],
    *,
    model: str,
    model_version: str,
    at: datetime,
) -> Calibration:
    """Returns the calibration by `method` for a version of a model. Raises Unfit."""
    positives = sum(map(bool, labels))
    _check_rows(method, scores, labels, positives)
    origin = {"model": model, "model_version": model_version, "fitted_at": at.isoformat()}
    fields = _METHODS[method]([clipped(p) for p in scores], labels)
    return Calibration(method, rows=len(scores), positives=positives, **origin, **fields)  # type: ignore[arg-type]


def apply(calibration: Calibration, p: float) -> float:
    """Returns the probability that a score stands for, never 0 or 1."""
    if calibration.method == "temperature":
        return clipped(sigmoid(logit(p) / calibration.temperature))
    if calibration.method == "platt":
        return clipped(sigmoid(calibration.slope * logit(p) + calibration.intercept))
    return _between(calibration.scores, calibration.values, clipped(p))


def _check_rows(
    method: str, scores: Sequence[float], labels: Sequence[bool], positives: int
) -> None:
    if method not in _METHODS:
        raise Unfit(f"The method is one of {', '.join(_METHODS)}.")
    if len(scores) != len(labels):
        raise Unfit("There must be one label for each score.")
    if any(not 0 <= p <= 1 for p in scores):  # NaN is not
        raise Unfit("Each score must be a number from 0 to 1.")
    least = LEAST_FOR_ISOTONIC if method == "isotonic" else LEAST_ROWS
    if len(scores) < least:
        raise Unfit(f"The method {method} needs at least {least} rows, not {len(scores)}.")
    if min(positives, len(labels) - positives) < LEAST_OF_EACH:
        raise Unfit(f"There must be at least {LEAST_OF_EACH} rows of each label.")


# Methods -----------------------------------------------------------------------------------------
def _temperature(scores: Sequence[float], labels: Sequence[bool]) -> dict[str, float]:
    """Find the slope at which the loss, convex in it, no longer falls."""
    odds = [logit(p) for p in scores]

    def rises(slope: float) -> float:
        return sum(x * (sigmoid(slope * x) - y) for x, y in zip(odds, labels, strict=True))

    low, high = 1 / _HOTTEST, 1 / _COLDEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if rises(middle) > 0 else (middle, high)
    return {"temperature": 2 / (low + high)}


def _platt(scores: Sequence[float], labels: Sequence[bool]) -> dict[str, float]:
    positives = sum(map(bool, labels))
    high, low = (positives + 1) / (positives + 2), 1 / (len(labels) - positives + 2)
    rows = [(logit(p), high if y else low) for p, y in zip(scores, labels, strict=True)]
    prior = positives / len(labels)
    slope, intercept = _least_loss(rows, (0.0, logit(prior)))
    return {"slope": slope, "intercept": intercept}


def _least_loss(
    rows: Sequence[tuple[float, float]], start: tuple[float, float]
) -> tuple[float, float]:
    """Newton's method with halved steps: the loss is convex."""
    (slope, intercept), loss = start, _loss(rows, *start)
    for _ in range(_STEPS):
        step = _newton_step(rows, slope, intercept)
        size = 1.0
        while size > 1e-8:
            new = slope - size * step[0], intercept - size * step[1]
            if (new_loss := _loss(rows, *new)) <= loss:
                break
            size /= 2
        else:
            return slope, intercept
        (slope, intercept), gain, loss = new, loss - new_loss, new_loss
        if gain < 1e-12 * max(1.0, loss):
            break
    return slope, intercept


def _newton_step(
    rows: Sequence[tuple[float, float]], slope: float, intercept: float
) -> tuple[float, float]:
    by_slope = by_intercept = aa = ab = bb = 0.0
    for x, target in rows:
        p = sigmoid(slope * x + intercept)
        weight, miss = p * (1 - p), p - target
        by_slope, by_intercept = by_slope + miss * x, by_intercept + miss
        aa, ab, bb = aa + weight * x * x, ab + weight * x, bb + weight
    aa, bb = aa + 1e-9, bb + 1e-9  # equal scores leave the slope open
    area = aa * bb - ab * ab
    return (bb * by_slope - ab * by_intercept) / area, (aa * by_intercept - ab * by_slope) / area


def _loss(rows: Sequence[tuple[float, float]], slope: float, intercept: float) -> float:
    total = 0.0
    for x, target in rows:
        z = slope * x + intercept
        total += max(z, 0.0) - target * z + math.log1p(math.exp(-abs(z)))
    return total


def _isotonic(scores: Sequence[float], labels: Sequence[bool]) -> dict[str, tuple[float, ...]]:
    """Pool neighbours until the rates rise. Each pool is a flat stretch with its two ends."""
    pools: list[tuple[float, float, float, int]] = []  # first score, last, positives, rows
    for p, hits, rows in _by_score(scores, labels):
        pools.append((p, p, hits, rows))
        while len(pools) > 1 and pools[-2][2] * pools[-1][3] >= pools[-1][2] * pools[-2][3]:
            _, last, more, many = pools.pop()
            first, _, hits, rows = pools.pop()
            pools.append((first, last, hits + more, rows + many))
    edge = 1 / (len(scores) + 2)  # nothing seen so often is sure
    points: list[tuple[float, float]] = []
    for first, last, hits, rows in pools:
        value = min(max(hits / rows, edge), 1 - edge)
        points += [(first, value)] if first == last else [(first, value), (last, value)]
    return {"scores": tuple(x for x, _ in points), "values": tuple(y for _, y in points)}


def _by_score(scores: Sequence[float], labels: Sequence[bool]) -> list[tuple[float, float, int]]:
    """Returns scores in order, each with its positives and rows."""
    counts: dict[float, tuple[float, int]] = {}
    for p, y in zip(scores, labels, strict=True):
        hits, rows = counts.get(p, (0.0, 0))
        counts[p] = hits + bool(y), rows + 1
    return [(p, *counts[p]) for p in sorted(counts)]


def _between(xs: Sequence[float], ys: Sequence[float], x: float) -> float:
    """Returns the value at x on the line from point to point; beyond the ends that of the end."""
    after = bisect_right(xs, x)
    if after == 0:
        return ys[0]
    if after == len(xs):
        return ys[-1]
    (x0, x1), (y0, y1) = xs[after - 1 : after + 1], ys[after - 1 : after + 1]
    return min(y0 + (y1 - y0) * ((x - x0) / (x1 - x0)), y1)


_METHODS: dict[str, Callable[[Sequence[float], Sequence[bool]], dict[str, object]]] = {
    "temperature": _temperature,  # type: ignore[dict-item]
    "platt": _platt,  # type: ignore[dict-item]
    "isotonic": _isotonic,  # type: ignore[dict-item]
}
