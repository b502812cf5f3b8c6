"""CPU that the platform takes while nobody asks anything of it."""

import time
from dataclasses import dataclass

from bench.servers.targets import Target

REST_S = 65.0  # runners end 30 s after the last work, the watch of keys after 60
SECONDS = 20.0


@dataclass(slots=True)
class IdleReport:
    """CPU in percent of one core, by role."""

    seconds: float
    percent: dict[str, float]

    @property
    def total(self) -> float:
        return sum(self.percent.values())


def measure(target: Target, rest: float = REST_S, seconds: float = SECONDS) -> IdleReport:
    time.sleep(rest)
    before, began = target.use(), time.monotonic()
    time.sleep(seconds)
    after, took = target.use(), time.monotonic() - began
    percent = {
        name: (use.cpu_ms - (before[name].cpu_ms if name in before else 0.0)) / took / 10
        for name, use in sorted(after.items())
    }
    return IdleReport(took, percent)
