"""Rolls usage rows up into hours and days: each row exactly once, despite crashes and repetition.

Rows are taken in the order of the transactions that wrote them, and only of transactions before
the oldest that still runs (pg_snapshot_xmin): none can be committed behind the mark any more. Sums
and mark change in one statement. An open writing transaction delays the roll-up, but never makes
it wrong.
"""

import logging
import time

from django.db import connection, transaction

from inference.models.rollup import NOBODY, RollupMark
from inference.usage import histogram

log = logging.getLogger(__name__)
BATCH = 20_000
PATIENCE_S = 8.0
LOCK = 0x726F6C6C  # among PostgreSQL's advisory locks

KEYS = ("starts", "tenant_id", "team_id", "member_id", "api_key_id", "model", "adapter")
SUMS = {
    "requests": "count(*) filter (where not repeated)",
    "prompt_tokens": "sum(prompt_tokens)",
    "cached_tokens": "sum(cached_tokens)",
    "completion_tokens": "sum(completion_tokens)",
    "cost": "sum(cost)",
    "millijoules": "coalesce(sum(millijoules), 0)",
    "hosted": "count(*) filter (where hosted and not repeated)",
    "hosted_cost": "coalesce(sum(cost) filter (where hosted), 0)",
    "cancelled": "count(*) filter (where outcome = 'cancelled')",
    "errors_client": "count(*) filter (where outcome = 'client')",
    "errors_engine": "count(*) filter (where outcome = 'engine')",
    "errors_platform": "count(*) filter (where outcome = 'platform')",
    "ttft": histogram.summed("ttft_ms"),
    "inter_token": histogram.summed("inter_token_ms"),
    "queue_wait": histogram.summed("queue_ms"),
}
# Error codes of the platform (engines have many), and of callers' mistakes.
_PLATFORM = "('aborted', 'deadline_exceeded', 'not_recorded', 'recorded_late', 'worker_lost')"
_CLIENT = "('context_length_exceeded', 'invalid_request')"

_TAKEN = f"""
    select created_at, tenant_id, model, adapter, prompt_tokens, cached_tokens,
           completion_tokens, cost, millijoules, hosted, ttft_ms, queue_ms, xid, completion_id,
           coalesce(team_id, '{NOBODY}') as team_id,
           coalesce(member_id, '{NOBODY}') as member_id,
           coalesce(api_key_id, '{NOBODY}') as api_key_id,
           case when completion_tokens > 1 and ttft_ms is not null
                then greatest(0, duration_ms - ttft_ms)::float8 / (completion_tokens - 1)
                end as inter_token_ms,
           repeated,
           case when repeated then ''
                when finish_reason = 'cancelled' then 'cancelled'
                when finish_reason <> 'error' and error_code = '' then ''
                when status between 400 and 498 or error_code in {_CLIENT} then 'client'
                when error_code in {_PLATFORM} then 'platform'
                else 'engine' end as outcome
    from inference_usage
    where (xid, completion_id) > (%s, %s)
      and xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
    order by xid, completion_id limit %s"""


def _added(table: str, unit: str) -> str:
    names = [*KEYS, *SUMS]
    added = [f"{name} = was.{name} + excluded.{name}" for name in SUMS]
    starts = f"date_trunc('{unit}', created_at, 'UTC') as starts"
    values = [starts, *KEYS[1:], *SUMS.values()]
    return f"""
    insert into {table} as was ({", ".join(names)})
    select {", ".join(values)} from taken group by {", ".join(KEYS)}
    on conflict ({", ".join(KEYS)}) do update set {", ".join(added)}"""


_ROLL_UP = f"""
    with taken as materialized ({_TAKEN}),
    hours as ({_added("inference_usagehour", "hour")}),
    days as ({_added("inference_usageday", "day")}),
    last as (select xid, completion_id from taken order by xid desc, completion_id desc limit 1),
    marked as (
        update inference_rollupmark mark set xid = last.xid, completion_id = last.completion_id
        from last where mark.id = 1)
    select count(*) from taken"""

# One at a time, with memory for the sums of a batch, which would otherwise spill to disk.
_LOCK_AND_MEMORY = "select pg_try_advisory_xact_lock(%s), set_config('work_mem', '64MB', true)"

# After a dump was restored into a new server, whose transactions are numbered from the start. Not
# rolled up yet are rows after the mark, and those that this server wrote since.
_FUTURE = "select %s >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
_RENUMBER = """
    update inference_usage
    set xid = case when (xid, completion_id) > (%s, %s)
                     or (xid & 4294967295 = xmin::text::bigint and created_at > %s)
                   then pg_current_xact_id()::text::bigint else 0 end"""


def roll_up() -> int:
    """Roll rows up. Returns their number; 0 while another run is under way."""
    until, rows, batch = time.monotonic() + PATIENCE_S, 0, BATCH
    while batch == BATCH and time.monotonic() < until:
        batch = _batch()
        rows += batch
    return rows


def _batch() -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_LOCK_AND_MEMORY, [LOCK])
        if not cursor.fetchone()[0]:
            return 0
        mark, _new = RollupMark.objects.get_or_create(pk=1)
        cursor.execute(_FUTURE, [mark.xid])
        if cursor.fetchone()[0]:
            _renumber(mark)
        mark.save(update_fields=["at"])
        cursor.execute(_ROLL_UP, [mark.xid, mark.completion_id, BATCH])
        return int(cursor.fetchone()[0])


def _renumber(mark: RollupMark) -> None:
    """Set rolled-up rows to number 0, before the new mark, and others to the present number."""
    with connection.cursor() as cursor:
        cursor.execute(_RENUMBER, [mark.xid, mark.completion_id, mark.at])
        log.warning(
            "the database was restored into another server; renumbered %d usage rows",
            cursor.rowcount,
        )
    mark.xid, mark.completion_id = 1, NOBODY
    mark.save(update_fields=["xid", "completion_id"])
