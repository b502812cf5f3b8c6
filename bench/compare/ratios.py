"""Figures of the mock comparison by load: ours, and against the others."""

from collections.abc import Sequence

from bench.compare.comparison import Row
from bench.figures.statistics import difference, ratio

ONE_JSON, JSON_64, JSON_200 = "json c=1", "json c=64", "json 200/s"
STREAMS_64, STREAMS_32, IN_STEP = "sse 2 ms c=64", "sse 20 ms c=32", "sse 20 ms c=32 in step"


class Ratios:
    """Each figure is None where it was not measured."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = {(row.load, row.target): row for row in rows}

    def metric(self, load: str, name: str, target: str = "Forebay") -> float | None:
        row = self.rows.get((load, target))
        return row[name] if row is not None else None

    def cpu(self, load: str, target: str = "Forebay") -> float | None:
        """Milliseconds per request."""
        row = self.rows.get((load, target))
        return row.cpu_ms if row is not None else None

    def added(self, load: str, name: str) -> float | None:
        """Returns the figure less that of the engine alone."""
        return difference(self.metric(load, name), self.metric(load, name, "direct"))

    def faster(self, load: str) -> float | None:
        """Our requests/s as a multiple of LiteLLM's."""
        return ratio(self.metric(load, "rps"), self.metric(load, "rps", "LiteLLM"))

    def cheaper(self, load: str) -> float | None:
        """LiteLLM's CPU per request as a multiple of ours."""
        return ratio(self.cpu(load, "LiteLLM"), self.cpu(load))
