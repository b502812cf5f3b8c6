"""The same day with and without jobs that take what requests leave."""

from dataclasses import dataclass
from pathlib import Path

import uvloop

from bench.figures import percentile, tell
from bench.mixed.measured.clients import Answers, ask_for_a_day
from bench.mixed.measured.fleet import MODEL, SLOTS, fleet

RETURN_S = 20


@dataclass(frozen=True, slots=True)
class Day:
    """`per_second`: requests on average. All engines but one may have a job."""

    engines: int = 3
    seconds: float = 1200.0
    per_second: float = 1.0
    seed: int = 7
    spare: bool | str = False


@dataclass(frozen=True, slots=True)
class DayAlone:
    """Seconds; `busy` is the part of all slots' time that had a request."""

    requests: int
    failed: int
    first_token_p50_s: float
    first_token_p99_s: float
    busy: float


@dataclass(frozen=True, slots=True)
class MeasuredDay:
    """`gpu_s`: seconds of an engine's hardware that the jobs had."""

    day: Day
    apart: DayAlone
    mixed: DayAlone
    gpu_s: float

    @property
    def dedicated(self) -> float:
        """Returns the engines' hardware that would do the jobs in the same day."""
        return self.gpu_s / self.day.seconds

    @property
    def saved(self) -> float:
        """Returns the part of the hardware of two separate fleets that one needs no more."""
        return self.dedicated / (self.day.engines + self.dedicated)

    @property
    def slower(self) -> float:
        return self.mixed.first_token_p99_s / self.apart.first_token_p99_s


def measured(day: Day, trainer: Path) -> MeasuredDay:
    with fleet(day.engines, {}, trainer) as alone:
        tell("the day without jobs")
        apart = played(day, uvloop.run(ask_for_a_day(alone.forebay, MODEL, *_load(day))))
    lending = {"return_s": RETURN_S, "spare": day.spare}
    with fleet(day.engines, lending, trainer) as lent:
        lent.begin_jobs(day.engines - 1)
        tell("the day with jobs")
        mixed = played(day, uvloop.run(ask_for_a_day(lent.forebay, MODEL, *_load(day))))
        return MeasuredDay(day, apart, mixed, lent.end_jobs())


def _load(day: Day) -> tuple[float, float, int]:
    return day.seconds, day.per_second, day.seed


def played(day: Day, answers: Answers) -> DayAlone:
    first, slots = sorted(answers.first_token_s), day.engines * SLOTS
    return DayAlone(
        len(first), answers.failed, percentile(first, 50) or 0.0, percentile(first, 99) or 0.0,
        sum(answers.whole_s) / (slots * day.seconds),
    )  # fmt: skip
