"""Asks a Prometheus what Grafana would ask it."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deploy.grafana.panel import WINDOW, Dashboard, Variable


class Refused(Exception):
    """Prometheus cannot answer this: what it says."""


@dataclass(frozen=True, slots=True)
class Series:
    """`points`: seconds since the epoch, and the value then."""

    labels: Mapping[str, str]
    points: list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when, how many seconds lie between points, and over which a rate is taken."""

    start: float
    end: float
    step: float
    window: str

    @classmethod
    def last(cls, seconds: float, points: int = 60, window: str = "1m") -> "Span":
        now = time.time()
        return cls(now - seconds, now, seconds / points, window)


@dataclass(frozen=True, slots=True)
class Prometheus:
    url: str

    def series(self, expr: str, span: Span) -> list[Series]:
        """Raises Refused, OSError."""
        asked = {"query": expr, "start": span.start, "end": span.end, "step": span.step}
        return [
            Series(found["metric"], [(at, float(value)) for at, value in found["values"]])
            for found in self._get("query_range", asked)["result"]
        ]

    def values(self, variable: Variable) -> list[str]:
        """What Grafana offers to choose. Raises Refused, OSError."""
        found: list[str] = self._get(f"label/{variable.label}/values", {"match[]": variable.metric})
        return found

    def _get(self, path: str, asked: Mapping[str, object]) -> Any:
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(asked)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310  # http, of this machine
                return json.load(answer)["data"]
        except urllib.error.HTTPError as problem:
            raise Refused(problem.read().decode(errors="replace")) from problem


def filled_in(expr: str, board: Dashboard, window: str) -> str:
    """With all values of each variable, as a dashboard is when it opens."""
    for variable in board.variables:
        expr = expr.replace(f"${variable.label}", variable.every)
    return expr.replace(WINDOW, window)
