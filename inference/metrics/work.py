"""Metrics of recorded work of workers."""

import time
from collections.abc import Mapping

from inference.metrics.labels import CLASS, MODEL, POOL, TENANT, tenant
from inference.models import JobKind
from inference.order import Order
from inference.record.outcome import Outcome
from infrastructure.metrics import Counter, Histogram, Label

_WORK = MODEL, POOL, CLASS
_WAITS = (0.005, 0.02, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 120, 300, 3600)

COMPLETIONS = Counter(
    "forebay_completions_total",
    "Requests that a worker has put on record as ended",
    *_WORK,
    Label.of("state", "done", "failed", "cancelled"),
)
PROMPT_TOKENS = Counter(
    "forebay_prompt_tokens_total", "Tokens of prompts, cached ones too", *_WORK, TENANT
)
CACHED_TOKENS = Counter(
    "forebay_prompt_tokens_cached_total",
    "Tokens of prompts that the engine had in its prefix cache",
    *_WORK,
    TENANT,
)
ANSWER_TOKENS = Counter("forebay_generation_tokens_total", "Tokens of answers", *_WORK, TENANT)
WAITED = Histogram(
    "forebay_request_queue_time_seconds",
    "From receipt until a worker took the request for the first time",
    *_WORK,
    bounds=_WAITS,
)
FIRST_TOKEN = Histogram(
    "forebay_time_to_first_token_seconds",
    "From receipt to the first token of a stream",
    *_WORK,
    bounds=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60),
)
BETWEEN = Histogram(
    "forebay_inter_token_latency_seconds",
    "From one token of an answer to the next, as a worker gets them",
    *_WORK,
    bounds=(0.001, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 1, 5),
)
WHOLE = Histogram(
    "forebay_e2e_request_latency_seconds",
    "From receipt until the end was on record",
    *_WORK,
    bounds=_WAITS,
)
PREEMPTIONS = Counter(
    "forebay_preemptions_total", "Requests that gave their slot to a higher class", *_WORK
)
HANDED_OVER = Counter(
    "forebay_handovers_total", "Requests that went on in another pool of their model", *_WORK
)
WARM = Counter(
    "forebay_warm_requests_total",
    "Long prompts in pools of several engines, by whether the engine that took one had it warm, "
    "another had, or none",
    POOL,
    Label.of("outcome", "hit", "miss", "new"),
)
WARM_WAITS = Counter(
    "forebay_warm_waits_total",
    "Requests that waited for a slot of the engine that has their prompt warm",
    POOL,
)
GPU_SECONDS = Counter(
    "forebay_gpu_seconds_total",
    "GPU time of jobs and other work in steps, counted with each checkpoint",
    *_WORK,
)
CHECKPOINTS = Counter(
    "forebay_job_checkpoints_total",
    "Checkpoints of the trainer that were put into FOREBAY_JOB_STORE, by the kind of their job",
    Label.of("kind", *JobKind.values),
)


def count_warm(pool: str, counts: Mapping[str, int]) -> None:
    """Count the requests of a pop by what it says of their prompts (inference/queue/pop.lua)."""
    for name, count in counts.items():
        family = WARM_WAITS.of(pool) if name == "waited" else WARM.of(pool, name)
        family.value += count


def labels(order: Order, klass: str) -> tuple[str, str, str]:
    """Returns labels. `klass` is the item's, which an operator may have lowered."""
    return order.model, order.queue, klass


def settled(order: Order, klass: str, outcome: Outcome) -> None:
    own, tenant_label = labels(order, klass), tenant(order.tenant_id)
    COMPLETIONS.of(*own, outcome.state).value += 1
    PROMPT_TOKENS.of(*own, tenant_label).value += outcome.prompt_tokens
    ANSWER_TOKENS.of(*own, tenant_label).value += outcome.completion_tokens
    if outcome.cached_tokens:
        CACHED_TOKENS.of(*own, tenant_label).value += outcome.cached_tokens
    if outcome.queue_ms is not None:
        WAITED.of(*own).observe(outcome.queue_ms / 1000)
    if outcome.ttft_ms is not None:
        FIRST_TOKEN.of(*own).observe(outcome.ttft_ms / 1000)
    WHOLE.of(*own).observe(time.time() - order.created_at)


class Gaps:
    """The gaps between an answer's tokens. Tokens that arrive together share the time before."""

    __slots__ = ("_last", "_spread")

    def __init__(self, order: Order, klass: str) -> None:
        self._spread, self._last = BETWEEN.of(*labels(order, klass)), 0.0

    def came(self, tokens: int) -> None:
        if not tokens:
            return
        now = time.monotonic()
        if self._last:
            self._spread.observe((now - self._last) / tokens, tokens)
        self._last = now
