"""Are there engines enough, and does each do its work?"""

from deploy.grafana.panel import (
    BAD,
    WARN,
    Dashboard,
    Kind,
    Panel,
    Query,
    Row,
    Variable,
    latest,
    number,
    quantile,
    rate,
    share,
)

_POOL = 'pool=~"$pool"'
_OWN = f'{_POOL}, model=~"$model"'
_ENGINE = f'{_POOL}, engine=~"$engine"'
_SLOTS = latest("forebay_engine_slots", "pool, engine", _ENGINE)
_BUSY = latest("forebay_engine_slots_busy", "pool, engine", _ENGINE)


def _by_class(title: str, unit: str, text: str, metric: str, **rest: object) -> Panel:
    found = (Query(latest(metric, "pool, class", _POOL), "{{pool}} {{class}}"),)
    return Panel(title, unit, text, found, **rest)  # type: ignore[arg-type]  # fields of Panel


def _by_engine(title: str, unit: str, text: str, metric: str, **rest: object) -> Panel:
    found = (Query(latest(metric, "pool, engine", _ENGINE), "{{engine}}"),)
    return Panel(title, unit, text, found, **rest)  # type: ignore[arg-type]  # fields of Panel


_NOW = (
    number(
        "Waiting",
        "short",
        "Requests in the queues of these pools.",
        f"sum({latest('forebay_requests_waiting', 'pool, class', _POOL)})",
    ),
    number(
        "Oldest waits for",
        "s",
        "In any class of these pools.",
        f"max(forebay_oldest_waiting_seconds{{{_POOL}}})",
        limits=((10, WARN), (60, BAD)),
    ),
    number(
        "One more would wait",
        "s",
        "What the platform expects, and tells clients, in the class where it is longest. This is "
        "the figure to scale by.",
        f"max(forebay_expected_wait_seconds{{{_POOL}}})",
        limits=((10, WARN), (60, BAD)),
    ),
    number(
        "Busy slots",
        "percentunit",
        "How full batches are. Below 70 % for long there are engines "
        "too many; at 100 % requests wait.",
        f"sum({_BUSY}) / sum({_SLOTS})",
        most=1,
    ),
    number(
        "Engines silent",
        "none",
        "Of those that can be asked for their health.",
        f"count({latest('forebay_engine_up', 'pool, engine', _ENGINE)} == 0) or vector(0)",
        limits=((1, BAD),),
    ),
    number(
        "Breakers not closed",
        "none",
        "Engines that get no requests, or one to try, because requests there have failed.",
        "sum(max by (pool, engine, state) "
        f'(forebay_engine_breaker_state{{{_ENGINE}, state!="closed"}})) or vector(0)',
        limits=((1, BAD),),
    ),
)
_QUEUE = (
    _by_class(
        "Waiting", "short", "Requests in the queue.", "forebay_requests_waiting", kind=Kind.AREAS
    ),
    _by_class(
        "Running",
        "short",
        "Requests that have a slot.",
        "forebay_requests_running",
        kind=Kind.AREAS,
    ),
    _by_class(
        "One more would wait",
        "s",
        "What the platform expects, and tells clients.",
        "forebay_expected_wait_seconds",
    ),
    _by_class(
        "Oldest waits for",
        "s",
        "Where this grows and 'Running' does not fall to 0, the class waits behind higher ones.",
        "forebay_oldest_waiting_seconds",
    ),
    _by_class(
        "Parked",
        "short",
        "Of those that wait: they gave their slot to a higher class, and go on when there is room.",
        "forebay_requests_parked",
    ),
    Panel(
        "Given away",
        "reqps",
        "Requests that gave their slot to a higher class, and those that went on in another pool "
        "of their model because an engine failed.",
        (
            Query(rate("forebay_preemptions_total", "pool", _OWN), "{{pool}} to a higher class"),
            Query(rate("forebay_handovers_total", "pool", _OWN), "{{pool}} to another pool"),
        ),
        needs="a request that gave its slot away",
    ),
)
_ENGINES = (
    Panel(
        "Busy slots by engine",
        "percentunit",
        "Requests that an engine runs, of its slots.",
        (Query(f"{_BUSY} / {_SLOTS}", "{{engine}}"),),
        most=1,
    ),
    _by_engine(
        "Engines that answer",
        "none",
        "1 where it answered a question for its health. Hosted ones are not asked.",
        "forebay_engine_up",
        most=1,
    ),
    Panel(
        "Breakers",
        "none",
        "1 for each engine whose breaker is not closed, by its state. `open`: it gets no requests. "
        "`due` and `half_open`: one is let through.",
        (
            Query(
                "max by (engine, state) "
                f'(forebay_engine_breaker_state{{{_ENGINE}, state!="closed"}})',
                "{{engine}} {{state}}",
            ),
        ),
        most=1,
    ),
    _by_engine(
        "KV cache in use",
        "percentunit",
        "From 0 to 1. Above 90 % a vLLM puts requests off and computes them again.",
        "forebay_kv_cache_usage_ratio",
        needs="an engine that says so: vLLM does",
        limits=((0.9, WARN),),
        most=1,
    ),
    _by_engine(
        "KV cache fragmented",
        "percentunit",
        "Share of the blocks in use that holds no token, as expected from how many requests run. "
        "It says something while the cache is at least half full.",
        "forebay_kv_cache_fragmentation_ratio",
        needs="an engine that says so: vLLM does",
        limits=((0.15, WARN),),
        most=1,
    ),
    _by_engine(
        "GPU memory taken at the start",
        "percentunit",
        "Of its GPUs. An engine that takes 90 % and keeps it is at 90 % whatever it has to do.",
        "forebay_engine_gpu_memory_reserved_ratio",
        needs="an engine that says so: vLLM does",
        most=1,
    ),
    _by_engine(
        "Running, as the engine says",
        "short",
        "More than its busy slots here: somebody else uses it too.",
        "forebay_engine_reported_running",
        needs="an engine that says so: vLLM and SGLang do",
    ),
    _by_engine(
        "Waiting, as the engine says",
        "short",
        "More than 0 for long: it has more slots here than it can run at once.",
        "forebay_engine_reported_waiting",
        needs="an engine that says so: vLLM and SGLang do",
    ),
)
_SPEED = (
    Panel(
        "Time to the first token, P95",
        "s",
        "From receipt, by pool and class.",
        (
            Query(
                quantile(0.95, "forebay_time_to_first_token_seconds", "pool, class", _OWN),
                "{{pool}} {{class}}",
            ),
        ),
        needs="streams that were answered lately",
    ),
    Panel(
        "Time between tokens, P95",
        "s",
        "By pool and class. It grows with how full batches are.",
        (
            Query(
                quantile(0.95, "forebay_inter_token_latency_seconds", "pool, class", _OWN),
                "{{pool}} {{class}}",
            ),
        ),
        needs="answers of more than one token lately",
    ),
    Panel(
        "Time in the queue, P95",
        "s",
        "From receipt until a worker took it, by pool and class.",
        (
            Query(
                quantile(0.95, "forebay_request_queue_time_seconds", "pool, class", _OWN),
                "{{pool}} {{class}}",
            ),
        ),
        needs="requests that were answered lately",
    ),
    Panel(
        "Tokens written per second",
        "suffix: tokens/s",
        "Of answers, when their requests end.",
        (Query(rate("forebay_generation_tokens_total", "pool", _OWN), "{{pool}}"),),
    ),
    Panel(
        "Read from the prefix cache",
        "percentunit",
        "Share of prompt tokens that engines had already.",
        (
            Query(
                share(
                    rate("forebay_prompt_tokens_cached_total", "pool", _OWN),
                    rate("forebay_prompt_tokens_total", "pool", _OWN),
                ),
                "{{pool}}",
            ),
        ),
        needs="prompts that begin alike, and an engine that says so",
        most=1,
    ),
    Panel(
        "Answers by their end",
        "reqps",
        "As workers put them on record.",
        (Query(rate("forebay_completions_total", "pool, state", _OWN), "{{pool}} {{state}}"),),
        Kind.AREAS,
    ),
)
POOL = Dashboard(
    "pool",
    "Pool and engine",
    "Are there engines enough, and does each do its work?",
    (
        Row("Now", _NOW),
        Row("The queue", _QUEUE),
        Row("Engines", _ENGINES),
        Row("How fast", _SPEED),
    ),
    (
        Variable("pool", "Pool", "forebay_engine_slots"),
        Variable("engine", "Engine", "forebay_engine_slots"),
        Variable("model", "Model", "forebay_completions_total"),
    ),
)
