"""A calibrator: a score's map to a probability, kept as JSON that any program can read."""

import json
import math
from bisect import bisect_right
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FORMAT = "forebay-calibrator-1"
_EDGE = 1e-6


@dataclass(frozen=True, slots=True)
class Platt:
    """A logistic curve over the score's log-odds."""

    slope: float
    intercept: float
    method: str = "platt"

    def __call__(self, score: float) -> float:
        return (1 + math.tanh((self.slope * log_odds(score) + self.intercept) / 2)) / 2


@dataclass(frozen=True, slots=True)
class Isotonic:
    """Straight lines between points that never fall; even beyond the first and the last."""

    scores: list[float]
    probabilities: list[float]
    method: str = "isotonic"

    def __call__(self, score: float) -> float:
        at = bisect_right(self.scores, score)
        if at in (0, len(self.scores)):
            return self.probabilities[min(at, len(self.scores) - 1)]
        low, high = self.scores[at - 1 : at + 1]
        below, above = self.probabilities[at - 1 : at + 1]
        return below + (above - below) * (score - low) / (high - low)


Calibrator = Platt | Isotonic


def log_odds(score: float) -> float:
    score = min(1 - _EDGE, max(_EDGE, score))
    return math.log(score / (1 - score))


def write_calibrator(calibrator: Calibrator, path: Path, **about: object) -> None:
    """Writes it with what it was fitted on, as `about` says."""
    fields = {"format": FORMAT, **asdict(calibrator), **about}
    path.write_text(json.dumps(fields, indent=1))


def read_calibrator(path: Path) -> Calibrator:
    """Raises ValueError for what is none."""
    fields: dict[str, Any] = json.loads(path.read_text())
    if fields.get("format") != FORMAT:
        raise ValueError("The file is no calibrator")
    if fields["method"] == "platt":
        return Platt(fields["slope"], fields["intercept"])
    return Isotonic(fields["scores"], fields["probabilities"])
