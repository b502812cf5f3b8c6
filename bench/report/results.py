"""The figures of one run of the bench, the key ones among them, and their aims."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.compare.comparison import (
    IN_STEP,
    JSON_64,
    JSON_200,
    ONE_JSON,
    STREAMS_32,
    STREAMS_64,
    Comparison,
    Row,
)
from bench.compare.engine import MANY, ONE
from bench.compare.idle import IdleReport
from bench.figures import Aim
from bench.parts.catalogue import PARTS, Summary

# Text, unit and limit by key figure: at least so many times another target's, else at most.
AIMS = {
    "one_json_added_p50_ms": ("one JSON request alone: added p50", "ms", 3),
    "one_json_added_p99_ms": ("one JSON request alone: added p99", "ms", 8),
    "json_200_added_p50_ms": ("200 JSON requests/s: added p50", "ms", 3.5),
    "json_200_added_p99_ms": ("200 JSON requests/s: added p99", "ms", 10),
    "first_token_added_p50_ms": (
        "32 streams, not in step: added time to first token, p50", "ms", 4,
    ),
    "first_token_in_step_added_p50_ms": (
        "32 streams, in step: added time to first token, p50", "ms", 8,
    ),
    "token_gap_p99_ms": ("32 streams of 20 ms per token: gap between tokens, p99", "ms", 24),
    "json_64_rps_x": ("64 JSON requests at once: requests/s against LiteLLM", "x", 20),
    "json_64_cpu_x": (
        "64 JSON requests at once: LiteLLM's CPU per request against ours", "x", 17,
    ),
    "json_64_cpu_ms": ("64 JSON requests at once: CPU per request", "ms", 0.55),
    "streams_64_rps_x": ("64 streams at once: requests/s against LiteLLM", "x", 23),
    "streams_64_cpu_x": ("64 streams at once: LiteLLM's CPU per request against ours", "x", 10),
    "streams_64_cpu_ms": ("64 streams at once: CPU per request", "ms", 2.2),
    "idle_cpu_percent": ("idle platform: CPU in percent of one core", "%", 1.5),
    "engine_1_share": ("real engine, 1 stream: tokens/s against direct", "x", 0.97),
    "engine_16_share": ("real engine, 16 streams: tokens/s against direct", "x", 0.98),
}  # fmt: skip


@dataclass(slots=True)
class Results:
    """Everything that was measured; `parts` by name of the part."""

    machine: dict[str, str]
    quick: bool
    rounds: int
    seconds: float
    litellm: str | None = None
    router: str | None = None
    comparison: list[Row] = field(default_factory=list)
    idle: IdleReport | None = None
    engine: list[Row] = field(default_factory=list)
    parts: dict[str, Summary] = field(default_factory=dict)

    def key_figures(self) -> dict[str, float | None]:
        """The columns of bench/history.csv, in its order; None where one was not measured."""
        mock, engine = Comparison(self.comparison), Comparison(self.engine)
        parts = {k: v for part in self.parts.values() for k, v in part.key_figures.items()}
        return {
            "json_64_rps_x": mock.times(JSON_64),
            "json_64_cpu_x": mock.cheaper(JSON_64),
            "json_64_cpu_ms": mock.cpu(JSON_64),
            "streams_64_rps_x": mock.times(STREAMS_64),
            "streams_64_cpu_x": mock.cheaper(STREAMS_64),
            "streams_64_cpu_ms": mock.cpu(STREAMS_64),
            "one_json_added_p50_ms": mock.added(ONE_JSON, "p50_ms"),
            "one_json_added_p99_ms": mock.added(ONE_JSON, "p99_ms"),
            "json_200_added_p50_ms": mock.added(JSON_200, "p50_ms"),
            "json_200_added_p99_ms": mock.added(JSON_200, "p99_ms"),
            "first_token_added_p50_ms": mock.added(STREAMS_32, "ttft_p50_ms"),
            "first_token_in_step_added_p50_ms": mock.added(IN_STEP, "ttft_p50_ms"),
            "token_gap_p99_ms": mock.metric(STREAMS_32, "gap_p99_ms"),
            "engine_1_share": engine.times(ONE, "tokens_per_s", other="direct"),
            "engine_16_share": engine.times(MANY, "tokens_per_s", other="direct"),
            "idle_cpu_percent": self.idle.total if self.idle else None,
            "audited_64_per_s": parts.get("audited_64_per_s"),
            "verify_million_s": parts.get("verify_million_s"),
            "admission_1_tenant_p50_ms": parts.get("admission_1_tenant_p50_ms"),
            "admission_5000_tenants_p50_ms": parts.get("admission_5000_tenants_p50_ms"),
            "router_json_64_cpu_ms": mock.cpu(JSON_64, "vllm-router"),
            "router_streams_64_cpu_ms": mock.cpu(STREAMS_64, "vllm-router"),
        }

    def aims(self) -> list[Aim]:
        return [*self._own_aims(), *(aim for _, part in self.in_order() for aim in part.aims)]

    def _own_aims(self) -> Iterator[Aim]:
        figures = self.key_figures()
        measured: dict[str, Any] = {"idle": self.idle, "engine": self.engine}
        for column, (text, unit, limit) in AIMS.items():
            if measured.get(column.split("_")[0], self.comparison):
                yield Aim(text, figures[column], unit, limit, at_least=unit == "x")
        if self.comparison:
            ours = [row for row in self.comparison if row.target == "Forebay"]
            bad = sum(row.bad for row in ours) if ours else None
            yield Aim(f"bad answers of {sum(row.all for row in ours):,}", bad, "", 0)

    def in_order(self) -> list[tuple[str, Summary]]:
        """Titles and summaries of the parts that were measured."""
        return [
            (part.title, self.parts[name]) for name, part in PARTS.items() if name in self.parts
        ]

    def as_json(self) -> dict[str, Any]:
        """Each part has a field of its own, as in the files of earlier runs."""
        figures = asdict(self)
        parts = figures.pop("parts")
        by_field = {name.replace("-", "_"): part["figures"] for name, part in parts.items()}
        aims = [asdict(aim) | {"met": aim.met} for aim in self.aims()]
        return figures | by_field | {"aims": aims}


COLUMNS = tuple(Results({}, quick=True, rounds=0, seconds=0.0).key_figures())
