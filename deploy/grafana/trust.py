"""Is everything on record, under seal, witnessed and erased in time?"""

from deploy.grafana.panel import (
    BAD,
    WARN,
    Dashboard,
    Kind,
    Panel,
    Query,
    Row,
    number,
    quantile,
    rate,
)

_HOUR = 3600
_CHECKS = 'min by (check) (forebay_check_ok{{check{}"audit[.].+"}})'
_DENIED = (
    "invalid_api_key|api_key_in_url|access_revoked|forbidden|insufficient_scope|restricted"
    "|address_not_allowed|origin_not_allowed|tenant_closed"
)

_PROMISES = (
    number(
        "Not under seal for",
        "s",
        "Age of the oldest event of the audit trail that is not under seal. The sealer comes every "
        "second: more than a minute means that jobs stand still, or that a transaction stays open.",
        "max(forebay_seal_lag_seconds)",
        limits=((10, WARN), (60, BAD)),
    ),
    number(
        "Checkpoints unheard",
        "none",
        "That the witness which is furthest behind has not heard. More than a few for minutes: it "
        "is silent, and nothing outside the database would contradict a changed trail.",
        "max(forebay_witness_lag_checkpoints)",
        needs="a witness",
        limits=((10, WARN), (100, BAD)),
    ),
    number(
        "Trail changed",
        "none",
        "Looks at the trail and what protects it that found something. Not 0: leave everything as "
        "it is, and tell whoever answers for the trail.",
        f"count({_CHECKS.format('=~')} == 0) or vector(0)",
        limits=((1, BAD),),
    ),
    number(
        "Checks that failed",
        "none",
        "Other promises that the latest look found broken: the compliance page says which.",
        f"count({_CHECKS.format('!~')} == 0) or vector(0)",
        limits=((1, BAD),),
    ),
    number(
        "Books that differ",
        "none",
        "Days of tenants, of the last 7, for which ledger, usage and counters are not the same.",
        "max(forebay_reconciliation_differences)",
        limits=((1, BAD),),
    ),
    number(
        "Group commits failed",
        "reqps",
        "For which PostgreSQL did not answer. Their rows are tried again, and no answer leaves "
        "before its request is durable: clients wait, or are told 503.",
        f"{rate('forebay_group_commit_failures_total')} or vector(0)",
        limits=((0.001, BAD),),
    ),
)
_PEOPLE = (
    number(
        "Deletion requests open",
        "none",
        "Neither done nor refused, those on legal hold too.",
        "max(forebay_erasures_open)",
    ),
    number(
        "Oldest deletion request",
        "s",
        "How far its clock is, without those that a legal hold keeps and restrictions that have "
        "begun. 72 hours is the most; at 48 somebody has to look.",
        "max(forebay_erasure_oldest_age_seconds)",
        limits=((24 * _HOUR, WARN), (48 * _HOUR, BAD)),
    ),
    number(
        "Sign-ins refused",
        "none",
        "In the last 15 minutes.",
        'sum(increase(forebay_sign_ins_total{outcome="denied"}[15m])) or vector(0)',
        limits=((50, WARN), (300, BAD)),
    ),
    number(
        "Locks",
        "none",
        "Accounts and addresses that too many wrong tries have locked in the last 15 minutes.",
        'sum(increase(forebay_sign_ins_total{outcome="locked"}[15m])) or vector(0)',
        limits=((1, WARN), (10, BAD)),
    ),
    number(
        "A certificate ends in",
        "s",
        "The one that ends first, of all that processes show.",
        "min(forebay_certificate_not_after_seconds) - time()",
        needs="TLS",
    ),
    number(
        "Sources unread",
        "none",
        "Of the figures of the whole platform: the queue, Valkey, engines, PostgreSQL; and GPUs. "
        "What could not be read is left out above.",
        "count(min by (source) (forebay_figures_readable) == 0) or vector(0)",
        limits=((1, BAD),),
    ),
)
_TRAIL = (
    Panel(
        "Not under seal for",
        "s",
        "See above. It shows a saw of a second or two at rest.",
        (Query("max(forebay_seal_lag_seconds)", "oldest event"),),
        limits=((60, BAD),),
    ),
    Panel(
        "Checkpoints unheard",
        "none",
        "Of the witness that is furthest behind.",
        (Query("max(forebay_witness_lag_checkpoints)", "furthest behind"),),
        needs="a witness",
    ),
    Panel(
        "Deletion requests",
        "s",
        "How old the oldest open one is, and its limits.",
        (Query("max(forebay_erasure_oldest_age_seconds)", "oldest that is open"),),
        limits=((48 * _HOUR, WARN), (72 * _HOUR, BAD)),
    ),
)
_RECORD = (
    Panel(
        "Rows for each commit",
        "short",
        "How many rows share a commit: more under load, and 1 at rest.",
        (
            Query(
                f"{rate('forebay_group_commit_rows_sum', 'what')}"
                f" / ({rate('forebay_group_commit_rows_count', 'what')} > 0)",
                "{{what}}",
            ),
        ),
        needs="requests lately",
    ),
    Panel(
        "Group commits, P95",
        "s",
        "From a statement until it is durable.",
        (Query(quantile(0.95, "forebay_group_commit_duration_seconds", "what"), "{{what}}"),),
        needs="requests lately",
    ),
    Panel(
        "Questions to PostgreSQL, P95",
        "s",
        "Beside the group commits: of a key, of prices, of the record. By role.",
        (Query(quantile(0.95, "forebay_postgresql_lookup_duration_seconds", "role"), "{{role}}"),),
        needs="requests lately",
    ),
)
_DOORS = (
    Panel(
        "Refused at the door",
        "reqps",
        "Who has no key that holds, asks for what they may not, or comes from where they must not. "
        "A sudden rise of `invalid_api_key`: somebody tries keys, or a key was exchanged and "
        "a client still has the old one.",
        (Query(rate("forebay_refusals_total", "reason", f'reason=~"{_DENIED}"'), "{{reason}}"),),
        Kind.AREAS,
        "a request without a key that holds",
    ),
    Panel(
        "Addresses that ask too often",
        "reqps",
        "Refused by the limit of their address, before anybody looks at a key.",
        (Query(rate("forebay_refusals_total", where='reason="ip"'), "refused"),),
        needs="an address that asks too often",
    ),
    Panel(
        "Sign-ins",
        "reqps",
        "Of people, by their outcome. Many that are denied: somebody tries passwords.",
        (Query(rate("forebay_sign_ins_total", "outcome"), "{{outcome}}"),),
        Kind.AREAS,
        "a sign-in since the start",
    ),
    Panel(
        "Jobs by their end",
        "reqps",
        "Tasks of Celery: sealing, settling, erasing, verifying. One that fails is tried again; "
        "the log says why.",
        (Query(rate("forebay_celery_tasks_total", "state"), "{{state}}"),),
        Kind.AREAS,
    ),
    Panel(
        "How long jobs take, P95",
        "s",
        "By task. That of workers lasts as long as there is work.",
        (
            Query(
                quantile(0.95, "forebay_celery_task_duration_seconds", "task", 'role="jobs"'),
                "{{task}}",
            ),
        ),
    ),
    Panel(
        "Size of the database",
        "bytes",
        "It grows with the trail, which retention ends by months.",
        (Query("max(forebay_postgresql_size_bytes)", "PostgreSQL"),),
    ),
)
TRUST = Dashboard(
    "trust",
    "Trust",
    "Is everything on record, under seal, witnessed, and erased in time?",
    (
        Row("Promises", _PROMISES),
        Row("People and doors", _PEOPLE),
        Row("Seals, witnesses, erasures", _TRAIL),
        Row("The record", _RECORD),
        Row("Who comes, and what goes on", _DOORS),
    ),
)
