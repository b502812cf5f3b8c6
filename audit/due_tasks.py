"""SQL that tells beat whether a task has work: beat asks each second, and sends a task only then.

All expressions run as the system, over indexes, in one statement.
"""

from redis.exceptions import RedisError

from audit.trail import unsealed_notes

_NEWEST = "pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
# A mark that was set back (proof/seal_mark.py) counts as work: the sealer logs it until an operator
# resumes it.
_SEAL = f"""
    coalesce((
        select mark.set_back or mark.xid > {_NEWEST} or coalesce((
            select true from audit_event event
            where (event.xid, event.id) > (mark.xid, mark.event_id) and event.xid < {_NEWEST}
              and event.id > coalesce((select max(last) from unnest(mark.restarts) last), 0)
            order by event.xid, event.id limit 1), false)
        from audit_sealmark mark where mark.id = 1
    ), exists (select from audit_event))"""
_WITNESSES = """
    (select coalesce(max(n), 0) from audit_checkpoint) > (
        select case count(*) when cardinality(%(witnesses)s::text[]) then min(n) else 0 end
        from audit_witnessmark where name = any(%(witnesses)s::text[]))"""

IN_DATABASE = {
    "audit.seal": _SEAL,
    "audit.tell_witnesses": f"(cardinality(%(witnesses)s::text[]) > 0 and {_WITNESSES})",
    "audit.delete": "exists (select from audit_deletionrequest "
    "where not (state in ('done', 'refused')))",
    "audit.rotate": "exists (select from audit_keyrotation where finished_at is null)",
    "audit.export": "exists (select from audit_export where state = 'making' and kind = 'audit')",
    "audit.export_subjects": "exists (select from audit_export "
    "where state = 'making' and kind = 'subject')",
}


def in_redis() -> set[str]:
    """Returns the tasks with work according to Redis, all of them if Redis does not answer.

    The sealer looks at each note until its event is sealed (proof/vanished.py).
    """
    try:
        return {"audit.seal"} if unsealed_notes.count() else set()
    except RedisError:
        return {"audit.seal"}
