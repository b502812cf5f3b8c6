"""A simulated day: a TOML file says how it differs from the defaults.

[day]
pools = 20
slots = 2                 # of an engine
tokens_per_s = 20         # of a slot

[weights]                 # weight = share of the tenants
1 = 0.9
4 = 0.1

[classes.batch]           # any field of inference.classes.WorkClass
minimum_share = 0.05

[load.batch]              # any field of Load
share = 0.6
"""

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from django.conf import settings

from inference import classes, engines
from inference.engine_entries import entries

ENGINE = {"kind": "openai", "url": "http://127.0.0.1:9/v1"}  # one has all slots of its pool
Curve = Literal["day", "flat", "night"]


@dataclass(frozen=True, slots=True)
class Load:
    """The requests of one class. `share`: of all slots' time that they take over the day.

    `burst`: how many of a tenant come at once. `tokens`, `prompt`: means of a request.
    """

    share: float
    curve: Curve = "flat"
    tokens: int = 1_200
    prompt: int = 300
    burst: int = 1


@dataclass(frozen=True, slots=True)
class Day:
    tenants: int = 10_000
    engines: int = 500
    hours: float = 24.0
    pools: int = 20
    slots: int = 2
    tokens_per_s: float = 20.0
    first_token_s: float = 0.3  # prefill, and what the platform adds
    skew: float = 0.8  # of the tenants' demand: the n-th largest has n ** -skew
    report_every_s: float = 30.0  # what runs pays for what has come of it; 0: at its end alone


def _loads() -> dict[str, Load]:
    return {
        "realtime": Load(0.45, "day"),
        "batch": Load(0.6, tokens=2_000, burst=200),
        "finetune": Load(0.03, tokens=4_000, burst=20),
        "preprocess": Load(0.03, tokens=1_000, burst=50),
    }


@dataclass(frozen=True, slots=True)
class Policy:
    day: Day = Day()
    weights: Mapping[int, float] = field(default_factory=lambda: {1: 0.9, 4: 0.08, 16: 0.02})
    loads: Mapping[str, Load] = field(default_factory=_loads)
    classes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    limits: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @contextmanager
    def in_force(self, slots: Mapping[str, int]) -> Iterator[None]:
        """Put it in force in this process: the queue asks classes, settings and pools.

        `slots` by pool.
        """
        before, limits = dict(classes.CLASSES), settings.QUEUE_LIMITS
        for name, fields in self.classes.items():
            classes.CLASSES[name] = replace(classes.CLASSES[name], **fields)
        settings.QUEUE_LIMITS = {**limits, **self.limits}
        engines.put_in_force(entries({pool: {**ENGINE, "slots": n} for pool, n in slots.items()}))
        try:
            yield
        finally:
            classes.CLASSES.update(before)
            settings.QUEUE_LIMITS = limits
            engines.forget()


def read(path: Path | None, **day: Any) -> Policy:
    """`day`: fields that the command line gives. Raises TypeError or KeyError for unknown names."""
    tables = tomllib.loads(path.read_text()) if path else {}
    if unknown := tables.keys() - {"day", "weights", "classes", "limits", "load"}:
        raise KeyError(f"unknown tables: {', '.join(sorted(unknown))}")
    loads = _loads()
    for name, fields in tables.get("load", {}).items():
        loads[name] = replace(loads.get(name, Load(0.0)), **fields)
    plain = Policy()
    return Policy(
        day=replace(Day(), **{**tables.get("day", {}), **day}),
        weights={int(w): share for w, share in tables.get("weights", plain.weights).items()},
        loads={name: loads[name] for name in classes.names() if name in loads},
        classes=tables.get("classes", {}),
        limits=tables.get("limits", {}),
    )
