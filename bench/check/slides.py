"""Which key ratios of a short run are under those of the history's last line."""

from collections.abc import Mapping
from dataclasses import dataclass

TOLERANCE = 0.15
# Against LiteLLM beside us, so that another machine or a busy one changes them little.
RATIOS = {
    "json_64_rps_x": "64 JSON requests at once: requests/s against LiteLLM",
    "json_64_cpu_x": "64 JSON requests at once: LiteLLM's CPU per request against ours",
    "streams_64_rps_x": "64 streams at once: requests/s against LiteLLM",
    "streams_64_cpu_x": "64 streams at once: LiteLLM's CPU per request against ours",
}


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
    found = []
    for column in RATIOS:
        old, new = before.get(column), now.get(column) or 0.0
        if old is not None and new < old * (1 - tolerance):
            found.append(Slide(column, old, new))
    return found
