"""Key ratios of a short run against the history's last line, and the words about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.compare.comparison import Row
from bench.report.history import Line
from bench.report.key_figures import key_figures
from bench.report.results import Results

TOLERANCE = 0.15
BAD = 0.1  # of LiteLLM's answers, from where on its figures say nothing
# Against LiteLLM beside us, so that another machine or a busy one changes them little.
RATIOS = {
    "json_64_rps_x": "64 JSON requests at once: requests/s against LiteLLM",
    "json_64_cpu_x": "64 JSON requests at once: LiteLLM's CPU per request against ours",
    "streams_64_rps_x": "64 streams at once: requests/s against LiteLLM",
    "streams_64_cpu_x": "64 streams at once: LiteLLM's CPU per request against ours",
}
WHAT_TO_DO = """\
Run it once more on a quiet machine. If the slide stays, find its commit:
    git bisect run .venv/bin/python -m bench.check
If it is worth its price, say so in bench/notebook/, and let `make bench` add a new line."""


@dataclass(frozen=True, slots=True)
class Slide:
    """A ratio that fell from `before` to `now`."""

    column: str
    before: float
    now: float

    def __str__(self) -> str:
        less = 1 - self.now / self.before
        return f"{RATIOS[self.column]}: {self.now:.3g} x, {less:.0%} under {self.before:.3g} x"


def slides(
    now: Mapping[str, float | None],
    before: Mapping[str, float | None],
    tolerance: float = TOLERANCE,
) -> list[Slide]:
    """Ratios that fell by more than `tolerance`; one that was not measured now counts as 0."""
    both = [(column, before.get(column), now.get(column) or 0.0) for column in RATIOS]
    return [
        Slide(column, old, new)
        for column, old, new in both
        if old is not None and new < old * (1 - tolerance)
    ]


def inconclusive(rows: Sequence[Row]) -> str:
    """The reason why the figures say nothing; empty where they do."""
    for row in rows:
        if row.target == "LiteLLM" and row.bad > BAD * row.all:
            failed = f"{row.bad} of {row.all} answers of LiteLLM were bad or late"
            return f"{row.load}: {failed}. Nothing to compare with: is the machine busy?"
    return ""


def verdict(now: Results, last: Line, fallen: list[Slide]) -> str:
    figures = key_figures(now)
    rows = [
        f"  {_times(figures[column])}  was {_times(last.figures.get(column))}  {words}"
        for column, words in RATIOS.items()
    ]
    about = last.about
    on = f"{about['cores']} cores of {about['cpu']}" if about["cpu"] else "a machine not noted"
    head = f"Against {about['commit']} ({about['date']}, {on}, LiteLLM {about['litellm']}):"
    if now.litellm != about["litellm"]:
        head += f"\nLiteLLM is {now.litellm} now, which changes the ratios too."
    if not fallen:
        return "\n".join([head, *rows, f"No key ratio fell by more than {TOLERANCE:.0%}."])
    return "\n".join([head, *rows, *(f"SLIDE: {slide}" for slide in fallen), WHAT_TO_DO])


def _times(value: float | None) -> str:
    return "    -  " if value is None else f"{value:5.2f} x"
