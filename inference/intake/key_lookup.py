"""Finds out whether an `Idempotency-Key` is new, as most are, for little work.

Keys that have been used are left to inference/api/idempotency.py and
inference/api/decision_flow/earlier.py.
"""

from dataclasses import replace

import psycopg

from inference.intake.errors import OutOfService
from inference.intake.idempotency_claim import Claim
from infrastructure.postgres.lookups import Lookups
from tenants.caller import Caller

# The owner of a key is the oldest of the API keys that were rotated into each other, as for
# inference/api/idempotency.py; a person who is signed in owns theirs.
_LOOK_UP = """
    with questions as (
        select * from unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::bytea[])
                 with ordinality as a(tenant_id, api_key_id, subject_id, key, place)),
    owned as materialized (
        select a.*, coalesce(
            (select k.id from tenants_apikey k
             where k.id = newest.id or k.replaced_by_id = newest.id
             order by k.created_at, k.id limit 1),
            a.api_key_id, a.subject_id) as owner
        from questions a left join lateral (
            select coalesce(replaced_by_id, id) as id from tenants_apikey where id = a.api_key_id
        ) newest on true)
    select owner, exists (select from inference_idempotencykey i
                          where i.tenant_id = o.tenant_id and i.owner = o.owner and i.key = o.key)
               or exists (select from inference_decision d
                          where d.tenant_id = o.tenant_id and d.key_owner = o.owner
                            and d.key = o.key)
    from owned o order by place"""


async def claimed_if_new(lookups: Lookups, caller: Caller, claim: Claim) -> Claim | None:
    """Returns the claim with its owner; None if the key has been used. Raises OutOfService."""
    question = caller.tenant_id, caller.api_key_id, caller.subject_id, claim.key
    try:
        owner, is_used = await lookups.ask(_LOOK_UP, question)
    except (psycopg.Error, OSError) as problem:
        raise OutOfService(str(problem)) from None
    return None if is_used else replace(claim, owner=owner)
