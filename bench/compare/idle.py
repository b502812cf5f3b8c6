"""CPU that the platform takes while nobody asks anything of it."""

import time
from dataclasses import dataclass

from bench.servers.processes import cpu_ms_since
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


def measure(target: Target) -> IdleReport:
    time.sleep(REST_S)
    before, began = target.use(), time.monotonic()
    time.sleep(SECONDS)
    after, took = target.use(), time.monotonic() - began
    cpu_ms = sorted(cpu_ms_since(before, after).items())
    return IdleReport(took, {name: ms / took / 10 for name, ms in cpu_ms})
