"""Tells which tasks of tasks.py have work: beat checks each second, and sends only those.

Each has an SQL expression. All are evaluated in one statement, over indexes, in the system's scope.
"""

from django.conf import settings
from redis.exceptions import RedisError

from inference.engines import all_queues
from inference.queue.client import client
from inference.queue.fair_queue import prefix

_NEWEST = "pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
# Also true if the mark is another server's (usage/rollup.py), whose rows are renumbered.
_ROLL_UP = f"""
    coalesce((
        select mark.xid >= {_NEWEST} or coalesce((
            select true from inference_usage used
            where (used.xid, used.completion_id) > (mark.xid, mark.completion_id)
            order by used.xid, used.completion_id limit 1), false)
        from inference_rollupmark mark where mark.id = 1
    ), exists (select from inference_usage))"""

_OLD_KEYS = """
    exists (select from inference_idempotencykey used
            where created_at < now() - interval '24 hours'
              and not exists (select from inference_batch batch
                              where batch.id = used.owner and batch.ended_at is null))"""

_OVER_CHATS = """
    exists (select from inference_conversation
            where temporary and updated_at < now() - interval '1 hour')
    or exists (select from inference_conversationshare where expires_at <= now())"""

_REPLACEMENTS = """
    exists (select from inference_replacement
            where step in ('loading', 'warming', 'switched', 'rolling_back')
              and coalesce(driven_until, '-infinity') < now())"""

_BATCHES = """
    exists (select from inference_batch
            where due_at <= now() and (leased_until is null or leased_until <= now()))"""

_IMPORTS = """
    exists (select from inference_modelversion
            where state = 'importing' and touched_at < now() - interval '1 minute')"""
_EVALUATIONS = "exists (select from inference_evaluation where due_at <= now())"
_TRIALS = "exists (select from inference_decisionpolicyversion where due_at <= now())"

_ASSISTANTS = "exists (select from inference_assistantversion where due_at <= now())"
_DIALOGUES = """
    exists (select from inference_dialogueturn
            where ended_at is null and leased_until <= now())"""
_ABANDONED = """
    exists (select from inference_dialoguehandover
            where ended_at is null and taken_by <> '' and leased_until <= now())"""
_OVERDUE_CALLS = """
    exists (select from inference_actioncall where state = 'sent' and deadline <= now())"""
_POLICY_EVALUATIONS = """
    exists (select from inference_policyevaluation
            where state in ('queued', 'running') and due_at <= now()
              and (leased_until is null or leased_until <= now()))"""

_EXPLANATIONS = """
    exists (select from inference_decisionexplanation
            where state = 'making' and due_at <= now())"""
# Once an hour for each policy that decides.
_DRIFT = """
    exists (select from inference_decisionpolicy p where p.champion is not null
            and not exists (select from inference_policydrift d
                            where d.policy_id = p.id and d.day >= current_date - 1
                              and d.measured_at > now() - interval '1 hour'))"""

_JOBS = """
    exists (select from inference_job where due_at <= now())
    or exists (select from inference_job job where job.order_id is not null
               and (select done.state from inference_completion done
                    where done.id = job.order_id) <> 'open')"""

_FILES = """
    exists (select from inference_file
            where not whole and created_at < now() - interval '2 hours')
    or exists (select from inference_file where expires_at <= now())"""

_DATA_SETS = """
    exists (select from inference_datasetversion
            where state = 'importing' and source <> 'job'
              and (leased_until is null or leased_until <= now()))
    or exists (select from inference_datasetversion
               where state = 'uploading' and created_at < now() - interval '24 hours')"""

_DOCUMENTS = """
    exists (select from inference_document
            where due_at <= now() and state in ('uploading', 'waiting', 'embedding', 'gone')
              and (leased_until is null or leased_until <= now()))
    or exists (select from inference_knowledgebase where deleted_at is not null)"""

# The second: engines that lack an adapter which serves (inference/adapters/supplying.py).
_ADAPTERS = """
    exists (select from inference_adapterpromotion where step = 'loading')
    or exists (select from inference_adapterpromotion p
               join inference_adapter a on a.id = p.adapter_id
               join inference_model m on m.name = a.base
               join inference_pool o on o.model_id = m.id
               join inference_engine e on e.pool_id = o.id
               where p.step = 'serving' and a.removed_at is null and p.formats like '%%gguf%%'
                 and e.kind = 'llama_cpp' and e.options ? 'launch'
                 and not (e.draining or e.staged)
                 and not coalesce(e.options -> 'adapters', '[]') ? p.version_id::text)
    or exists (select from inference_adapterpromotion p
               join inference_modelversion v on v.id = p.version_id
               where p.forgotten_at is null and p.step <> 'loading' and v.state = 'deleted')"""

# Turned off, it wakes those that rest and takes back those that are lent.
_RESTS = """
    exists (select from inference_pool where lending <> '{}')
    or exists (select from inference_engine
               where resting or lent_since is not null or returning_since is not null)"""

_SLEEPERS = """
    exists (select from inference_engine where options ? 'sleeps' and (
        (lent_since is not null and not gpu_free and returning_since is null)
        or (lent_since is null and returning_since is not null and starting_since is not null)))"""

IN_DATABASE = {
    "inference.sweep": "exists (select from inference_completion where state = 'open') "
    "or exists (select from inference_checkpoint)",
    "inference.roll_up": _ROLL_UP,
    "inference.drive_batches": _BATCHES,
    "inference.drive_jobs": _JOBS,
    "inference.evaluate": _EVALUATIONS,
    "inference.build_assistants": _ASSISTANTS,
    "inference.try_policies": _TRIALS,
    "inference.explain_decisions": _EXPLANATIONS,
    "inference.resume_dialogues": _DIALOGUES,
    "inference.evaluate_policies": _POLICY_EVALUATIONS,
    "inference.measure_drift": _DRIFT,
    "inference.forget_files": _FILES,
    "inference.return_dialogues": _ABANDONED,
    "inference.end_calls": _OVERDUE_CALLS,
    "inference.import_data_sets": _DATA_SETS,
    "inference.read_documents": _DOCUMENTS,
    "inference.import_models": _IMPORTS,
    "inference.forget_keys": _OLD_KEYS,
    "inference.tidy_chats": _OVER_CHATS,
    "inference.replace": _REPLACEMENTS,
    "inference.load_adapters": _ADAPTERS,
    "inference.move_sleepers": _SLEEPERS,
    "inference.rest_engines": "true" if settings.ENERGY_RESTS else _RESTS,
}


def in_redis() -> set[str]:
    """Returns the sweep if a queue has entries, or was lost by Redis."""
    try:
        with client().pipeline(transaction=False) as ask:
            for pool in all_queues():
                ask.exists(f"{prefix(pool)}:epoch")
                ask.exists(f"{prefix(pool)}:orders", f"{prefix(pool)}:leases")
            counts = ask.execute()
    except RedisError:
        return {"inference.sweep"}
    epochs, entries = counts[::2], counts[1::2]
    return {"inference.sweep"} if any(entries) or not all(epochs) else set()
