"""Results of a run of the bench, made up."""

from typing import Any

from bench.compare.comparison import (
    IN_STEP,
    JSON_64,
    JSON_200,
    METRICS,
    ONE_JSON,
    STREAMS_32,
    STREAMS_64,
    Row,
)
from bench.report.results import Results

MACHINE = {
    "date": "2026-11-27 10:00 UTC",
    "commit": "abc1234",
    "cpu": "Some CPU",
    "cores": "2",
    "memory_gib": "23.5",
    "system": "Linux 6.18",
    "python": "3.11.7",
    "versions": "Django 5.2.19",
}


def row(load: str, target: str, cpu_ms: float | None = None, **metrics: float) -> Row:
    measured: dict[str, float | None] = dict.fromkeys(METRICS) | metrics
    return Row(load, target, 10, 0, [], cpu_ms, {}, measured, [])


def comparison() -> list[Row]:
    """Ours meets every aim, by little."""
    times = {"p50_ms": 0.5, "p99_ms": 1.0, "ttft_p50_ms": 20.0}
    ours = {"p50_ms": 3.4, "p99_ms": 8.9, "ttft_p50_ms": 23.9, "gap_p99_ms": 23.5}
    rows = [row(load, "direct", **times) for load in (ONE_JSON, JSON_200, STREAMS_32, IN_STEP)]
    rows += [row(load, "Forebay", **ours) for load in (ONE_JSON, JSON_200, STREAMS_32, IN_STEP)]
    for load, ours_rps, cpu in ((JSON_64, 2000.0, 0.5), (STREAMS_64, 460.0, 2.0)):
        theirs = {JSON_64: (100.0, 10.0), STREAMS_64: (20.0, 50.0)}[load]
        rows.append(row(load, "LiteLLM", theirs[1], rps=theirs[0]))
        rows.append(row(load, "vllm-router", 0.1, rps=9000.0))
        rows.append(row(load, "Forebay", cpu, rps=ours_rps))
    return rows


def results(**changed: Any) -> Results:
    """A full run of the mock comparison alone."""
    wanted: dict[str, Any] = {"machine": MACHINE, "quick": False, "rounds": 3, "seconds": 4.0}
    wanted |= {"litellm": "1.110.2", "comparison": comparison()}
    return Results(**(wanted | changed))
