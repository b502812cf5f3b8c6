"""Is everybody served, and soon?"""

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
    quantiles,
    rate,
    share,
)

_MODEL = 'model=~"$model"'
_ASKED = "forebay_requests_total"
_FIRST = "forebay_time_to_first_token_seconds"
_WAITING = "forebay_requests_waiting"

_NOW = (
    number(
        "Requests per second",
        "reqps",
        "All that have ended, refused ones and those of batches too.",
        rate(_ASKED, where=_MODEL),
    ),
    number(
        "Refused by a limit",
        "percentunit",
        "Share of requests that were told 429: a limit or a quota of their tenant had no room, or "
        "the queue was full. 'Refusals by reason' below says which.",
        share(rate(_ASKED, where='status="429"'), rate(_ASKED)) + " or vector(0)",
        limits=((0.05, WARN), (0.2, BAD)),
    ),
    number(
        "Failed",
        "percentunit",
        "Share of requests that were told 500 or more. Above 1 % somebody has to look: at the "
        "engines first (pool and engine), then at PostgreSQL and Valkey below.",
        share(rate(_ASKED, where='status=~"5.."'), rate(_ASKED)) + " or vector(0)",
        limits=((0.01, WARN), (0.05, BAD)),
    ),
    number(
        "Oldest waits for",
        "s",
        "How long the request that has waited longest is in its queue, of any pool and class.",
        "max(forebay_oldest_waiting_seconds)",
        limits=((10, WARN), (60, BAD)),
    ),
    number(
        "First token, P95",
        "s",
        "From receipt to the first token of a stream; of 20 requests one waited longer.",
        quantile(0.95, _FIRST, where=_MODEL),
        limits=((0.5, WARN), (2.5, BAD)),
        needs="streams that were answered lately",
    ),
    number(
        "Processes silent",
        "none",
        "Processes on the lists of targets that Prometheus could not scrape. `up` by process below "
        "says which.",
        'count(up{job="forebay"} == 0) or vector(0)',
        limits=((1, BAD),),
    ),
)
_REQUESTS = (
    Panel(
        "Requests by status",
        "reqps",
        "What clients were told. 499: the client went away before its answer began.",
        (Query(rate(_ASKED, "status", _MODEL), "{{status}}"),),
        Kind.AREAS,
    ),
    Panel(
        "Requests by model",
        "reqps",
        "Requests of which a model was known: those that were refused before are left out.",
        (Query(rate(_ASKED, "model", f'{_MODEL}, model!=""'), "{{model}}"),),
        Kind.AREAS,
    ),
    Panel(
        "Refusals by reason",
        "reqps",
        "Which limit had no room, or the code of the error. `ip`, `rate` and `tokens` are limits "
        "of a minute, `quota` one of a budget, `queue_full` says that engines are too few.",
        (Query(rate("forebay_refusals_total", "reason"), "{{reason}}"),),
        needs="a refusal since the start",
    ),
    Panel(
        "Time to the first token",
        "s",
        "From receipt to the first token of a stream, over all classes.",
        quantiles(_FIRST, _MODEL),
        needs="streams that were answered lately",
    ),
    Panel(
        "Time between tokens",
        "s",
        "From one token of an answer to the next: what a reader sees as speed.",
        quantiles("forebay_inter_token_latency_seconds", _MODEL),
        needs="answers of more than one token lately",
    ),
    Panel(
        "Time in the queue",
        "s",
        "From receipt until a worker took the request. Where this is most of the time to the first "
        "token, slots are too few; where it is little, the engine is slow.",
        quantiles("forebay_request_queue_time_seconds", _MODEL),
        needs="requests that were answered lately",
    ),
)
_WORK = (
    Panel(
        "Waiting by pool and class",
        "short",
        "Requests in the queues.",
        (Query(latest(_WAITING, "pool, class"), "{{pool}} {{class}}"),),
        Kind.AREAS,
    ),
    Panel(
        "Tokens per second",
        "suffix: tokens/s",
        "Read (prompts), read from an engine's prefix cache, and written (answers), when a request "
        "has ended.",
        (
            Query(rate("forebay_prompt_tokens_total", where=_MODEL), "prompts"),
            Query(rate("forebay_prompt_tokens_cached_total", where=_MODEL), "of them cached"),
            Query(rate("forebay_generation_tokens_total", where=_MODEL), "answers"),
        ),
    ),
    Panel(
        "Busy slots",
        "percentunit",
        "Of all slots of a pool's engines. At 100 % requests wait.",
        (
            Query(
                f"sum by (pool) ({latest('forebay_engine_slots_busy', 'pool, engine')})"
                f" / sum by (pool) ({latest('forebay_engine_slots', 'pool, engine')})",
                "{{pool}}",
            ),
        ),
        most=1,
    ),
    Panel(
        "Answers by their end",
        "reqps",
        "As workers put them on record. `failed` counts streams too that broke in their middle, "
        "whose clients had been told 200.",
        (Query(rate("forebay_completions_total", "state", _MODEL), "{{state}}"),),
        Kind.AREAS,
    ),
    Panel(
        "Kept answers",
        "reqps",
        "Requests that looked for a kept answer: found in the process (l1), in Valkey (l2), with "
        "one in flight (shared), or not (miss).",
        (Query(rate("forebay_cache_lookups_total", "level"), "{{level}}"),),
        Kind.AREAS,
        needs="requests that may have a kept answer",
    ),
    Panel(
        "Duration of requests by front end",
        "s",
        "P95 from the head of a request to the last byte of its answer. A stream lasts as long as "
        "its answer.",
        (Query(quantile(0.95, "forebay_request_duration_seconds", "front_end"), "{{front_end}}"),),
        needs="requests lately",
    ),
)
_BELOW = (
    Panel(
        "Processes that answer",
        "none",
        "1 for each process that Prometheus could scrape, 0 for one that has died or hangs.",
        (Query('up{job="forebay"}', "{{process}}"),),
        most=1,
    ),
    Panel(
        "CPU by process",
        "percentunit",
        "Of one core. A web process at 100 % is full: raise FOREBAY_WEB_PROCESSES.",
        (Query('rate(process_cpu_seconds_total{job="forebay"}[$__rate_interval])', "{{process}}"),),
    ),
    Panel(
        "Memory by process",
        "bytes",
        "Resident memory. It grows with what a process holds, and comes to rest: a line that only "
        "ever climbs is a leak.",
        (Query('process_resident_memory_bytes{job="forebay"}', "{{process}}"),),
    ),
    Panel(
        "PostgreSQL: group commits",
        "s",
        "P95 from a statement until it is durable, by what it says of requests. Each request waits "
        "for one before its answer begins.",
        (Query(quantile(0.95, "forebay_group_commit_duration_seconds", "what"), "{{what}}"),),
        needs="requests lately",
    ),
    Panel(
        "Valkey: round trips",
        "s",
        "P95 from a write to its answer, by role. Milliseconds mean that Valkey, or the process "
        "that asks, is busy.",
        (Query(quantile(0.95, "forebay_valkey_round_trip_seconds", "role"), "{{role}}"),),
    ),
    Panel(
        "Connections and memory",
        "percentunit",
        "Of what PostgreSQL and Valkey have: at 100 % PostgreSQL refuses connections, and Valkey "
        "writes. Valkey without maxmemory has no line.",
        (
            Query(
                "max(forebay_postgresql_connections) / max(forebay_postgresql_connections_limit)",
                "PostgreSQL: connections",
            ),
            Query(
                "max(forebay_valkey_memory_bytes) / (max(forebay_valkey_memory_limit_bytes) > 0)",
                "Valkey: memory",
            ),
        ),
        limits=((0.9, BAD),),
        most=1,
    ),
    Panel(
        "Disk in use",
        "percentunit",
        "Of the file system of FOREBAY_HOME, by host.",
        (
            Query(
                "1 - min by (host) (forebay_home_free_bytes)"
                " / max by (host) (forebay_home_size_bytes)",
                "{{host}}",
            ),
        ),
        limits=((0.9, BAD),),
        most=1,
    ),
    Panel(
        "Messages for jobs",
        "short",
        "That wait for a process of Celery. It comes back to 0 within seconds.",
        (Query(latest("forebay_celery_queue_length", "queue"), "{{queue}}"),),
    ),
    Panel(
        "Alerts that fire",
        "none",
        "Of the rules in deploy/prometheus; each has a runbook.",
        (
            Query(
                'sum by (alertname) (ALERTS{alertstate="firing", alertname=~"Forebay.+"})',
                "{{alertname}}",
            ),
        ),
        needs="the rules of deploy/prometheus, and an alert that fires",
    ),
)
OVERVIEW = Dashboard(
    "overview",
    "Overview",
    "Is everybody served, and soon? The first row answers in a glance; each row below says more.",
    (
        Row("Now", _NOW),
        Row("What clients see", _REQUESTS),
        Row("Work", _WORK),
        Row("What it stands on", _BELOW),
    ),
    (Variable("model", "Model", "forebay_completions_total"),),
)
