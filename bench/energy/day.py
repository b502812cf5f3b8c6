"""The requests of a day: drawn by a seed, or recorded ones from a file."""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

SPREAD, LONGEST = 0.8, 4  # as in bench/simulate/arrivals.py
PEAK_H, SWING = 15, 0.8  # its curve "day": from 0.2 of the mean at 3:00 to 1.8 at 15:00


@dataclass(frozen=True, slots=True)
class Request:
    at: float  # in seconds of the day
    prompt: int  # tokens
    answer: int


@dataclass(frozen=True, slots=True)
class Day:
    """`share`: of all slots' time that the requests take on average."""

    engines: int = 8
    slots: int = 16
    hours: float = 24.0
    begins_h: float = 0.0
    share: float = 0.25
    prompt: int = 500
    answer: int = 3000
    seed: int = 7

    def requests(self, token_s: float) -> Iterator[Request]:
        """Yields requests whose tokens take `token_s` on average."""
        draw = Random(self.seed)
        highest = self.share * self.engines * self.slots / (self.answer * token_s) * (1 + SWING)
        at = 0.0
        while (at := at + draw.expovariate(highest)) < self.hours * 3600:
            if draw.random() * (1 + SWING) > self._height(at):
                continue
            yield Request(at, _length(self.prompt, draw), _length(self.answer, draw))

    def _height(self, at: float) -> float:
        hour = self.begins_h + at / 3600
        return 1 + SWING * math.cos(2 * math.pi * (hour - PEAK_H) / 24)


def recorded(file: Path) -> Iterator[Request]:
    """Yields the requests of a CSV file with the columns at_s, prompt_tokens, answer_tokens."""
    with file.open(newline="") as lines:
        for row in csv.DictReader(lines):
            tokens = int(row["prompt_tokens"]), max(1, int(row["answer_tokens"]))
            yield Request(float(row["at_s"]), *tokens)


def _length(mean: int, draw: Random) -> int:
    length = draw.lognormvariate(math.log(mean) - SPREAD**2 / 2, SPREAD)
    return max(1, min(LONGEST * mean, round(length)))
