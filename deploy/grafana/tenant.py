"""Does each tenant get its share, and which limit holds it back?"""

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
    rate,
    share,
)

_OWN = 'tenant=~"$tenant"'
_NAMED = "a tenant that FOREBAY_METRICS_TENANTS names, and requests of it"
_ASKED, _REFUSED = "forebay_requests_total", "forebay_refusals_total"
_READ, _WRITTEN = "forebay_prompt_tokens_total", "forebay_generation_tokens_total"
_CACHED = "forebay_prompt_tokens_cached_total"

_NOW = (
    number(
        "Requests per second",
        "reqps",
        "Of the tenants chosen above.",
        rate(_ASKED, where=_OWN),
        needs=_NAMED,
    ),
    number(
        "Refused by a limit",
        "percentunit",
        "Share of their requests that were told 429.",
        share(rate(_ASKED, where=f'{_OWN}, status="429"'), rate(_ASKED, where=_OWN)),
        needs=f"{_NAMED} that a limit refused",
        limits=((0.05, WARN), (0.2, BAD)),
    ),
    number(
        "Failed",
        "percentunit",
        "Share of their requests that were told 500 or more.",
        share(rate(_ASKED, where=f'{_OWN}, status=~"5.."'), rate(_ASKED, where=_OWN)),
        needs=f"{_NAMED} that failed",
        limits=((0.01, WARN), (0.05, BAD)),
    ),
    number(
        "Tokens read",
        "suffix: tokens/s",
        "Of their prompts.",
        rate(_READ, where=_OWN),
        needs=_NAMED,
    ),
    number(
        "Tokens written",
        "suffix: tokens/s",
        "Of their answers.",
        rate(_WRITTEN, where=_OWN),
        needs=_NAMED,
    ),
    number(
        "Of all tokens written",
        "percentunit",
        "What of the platform's work is theirs.",
        share(rate(_WRITTEN, where=_OWN), rate(_WRITTEN)),
        needs=_NAMED,
    ),
)
_EACH = (
    Panel(
        "Requests by tenant",
        "reqps",
        "Of tenants that have a label of their own.",
        (Query(rate(_ASKED, "tenant", _OWN), "{{tenant}}"),),
        Kind.AREAS,
        _NAMED,
    ),
    Panel(
        "Refusals by reason",
        "reqps",
        "Which limit of a tenant had no room, or the code of the error. Many `rate` or `tokens`: "
        "raise the limit, or let the client wait as `Retry-After` says. `quota`: its budget is "
        "used up.",
        (Query(rate(_REFUSED, "tenant, reason", _OWN), "{{tenant}} {{reason}}"),),
        needs=f"{_NAMED} that were refused",
    ),
    Panel(
        "Requests by status",
        "reqps",
        "What the clients of the tenants chosen above were told.",
        (Query(rate(_ASKED, "status", _OWN), "{{status}}"),),
        Kind.AREAS,
        _NAMED,
    ),
    Panel(
        "Tokens written by tenant",
        "suffix: tokens/s",
        "Of answers, when their requests end: what fair shares go by.",
        (Query(rate(_WRITTEN, "tenant", _OWN), "{{tenant}}"),),
        Kind.AREAS,
        _NAMED,
    ),
    Panel(
        "Tokens written by model",
        "suffix: tokens/s",
        "Which models the tenants chosen above use.",
        (Query(rate(_WRITTEN, "model", _OWN), "{{model}}"),),
        Kind.AREAS,
        _NAMED,
    ),
    Panel(
        "Read from the prefix cache",
        "percentunit",
        "Share of a tenant's prompt tokens that its engine had already.",
        (Query(share(rate(_CACHED, "tenant", _OWN), rate(_READ, "tenant", _OWN)), "{{tenant}}"),),
        needs=f"{_NAMED} whose prompts begin alike",
        most=1,
    ),
)
_FAIR = (
    Panel(
        "Tenants that wait",
        "short",
        "In each pool and class, tenants of which a request waits. They take turns by the tokens "
        "that they have had for their weight.",
        (Query(latest("forebay_tenants_waiting", "pool, class"), "{{pool}} {{class}}"),),
    ),
    Panel(
        "Distance between tenants",
        "suffix: tokens",
        "Between the tenant that has had most for its weight and the one that has had least, of "
        "those that wait. It stays below the tokens of some requests; one that climbs for minutes "
        "means that somebody is starved.",
        (Query(latest("forebay_fairness_drift_tokens", "pool, class"), "{{pool}} {{class}}"),),
    ),
    Panel(
        "Oldest waits for",
        "s",
        "In each pool and class.",
        (Query(latest("forebay_oldest_waiting_seconds", "pool, class"), "{{pool}} {{class}}"),),
        limits=((60, BAD),),
    ),
)
TENANT = Dashboard(
    "tenant",
    "Tenant",
    "Does each tenant get its share, and which limit holds it back? Figures by tenant are of those "
    "that FOREBAY_METRICS_TENANTS names; whose id is whose stands in the console, under Tenants.",
    (Row("The tenants chosen", _NOW), Row("By tenant", _EACH), Row("Between all tenants", _FAIR)),
    (Variable("tenant", "Tenant", _ASKED, every=".+"),),
)
