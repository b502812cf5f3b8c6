"""The SQL statements of the two durable moments: a request is received, and is settled.

Each is one statement over a list of rows (request_rows.py), so that a group commit
(audit/trail/group_commit.py) takes one round trip for hundreds of requests, and commits all parts
of a request or none.
"""

from audit.actions import Action
from audit.trail import record

# A request without room in its quota stops at tenants_reserve and leaves no trace.
# Returns (id, {taken} or {refused}) for requests that quotas count; see tenants/sql.
RECEIVED = f"""
    with asked as (select %s::jsonb as rows),
    reserved as materialized (select r.* from asked, tenants_reserve(asked.rows) r),
    j as (select x.* from asked, jsonb_to_recordset(asked.rows) as x(
        {record.RECEIVED_COLUMNS}, member_id uuid, stream bool, deadline timestamptz, pool text,
        adapter text, adapter_version text, stored jsonb, klass text)
        where not exists (select from reserved r where r.request = x.id and r.taken is null)),
    begun as (
        insert into inference_completion
            (id, tenant_id, api_key_id, member_id, model, route, stream, state, created_at,
             deadline, pool, klass, adapter, adapter_version)
        select id, tenant_id, api_key_id, member_id, model, route, stream, 'open', at, deadline,
               pool, klass, coalesce(adapter, ''), coalesce(adapter_version, '')
        from j on conflict (id) do nothing returning id),
    opened as (select j.* from begun join j using (id)),
    retrievable as (
        insert into inference_storedresponse
            (id, tenant_id, api_key_id, subject_id, background, size, created_at)
        select id, tenant_id, api_key_id, subject_id, (stored->>'background')::bool,
               (stored->>'size')::int, at from opened where stored is not null),{record.RECEIVED}
    select request, jsonb_build_object('taken', taken, 'refused', refused) from reserved"""

_TEXTS = "select %s::jsonb as rows, %b::bytea[] as texts"
# For large requests, whose texts are binary parameters beside the rows.
RECEIVED_WITH_TEXTS = (
    RECEIVED.replace("select %s::jsonb as rows", _TEXTS)
    .replace("j as (select x.* from", "j as (select x.*, asked.texts[x.place] as sent from")
    .replace("klass text)", "klass text, place int)")
    .replace("decode(request, 'base64')", "coalesce(sent, decode(request, 'base64'))")
)

OVERRUN = f"""
    overrun as (
        insert into audit_event (at, action, tenant_id, request_id, actor, subject_id, api_key_id,
                                 client_net, route, model, upstream, success, status, error_code,
                                 detail)
        select at, '{Action.QUOTA_OVERRUN}', tenant_id, id, actor, subject_id, api_key_id,
               client_net, route, model, upstream, false, status, '', beyond
        from j where beyond is not null),"""

# An earlier attempt may have left this installation (worker/failover.py).
LEFT = """
    case when coalesce(hosted, false) then true when attempts < 2 and status = 200 then false
    else inference_has_left(id) end"""

# The ledger's second entry decides who settles: a second settlement writes nothing at all. If a
# group has two rows of one request (its runner got it back before the first was committed), the
# first one settles, as in tenants_settle. Returns (id, at) of those that it has settled.
SETTLED = f"""
    with asked as (select %s::jsonb as rows),
    ended as materialized (select r.request from asked, tenants_settle(asked.rows) r),
    j as (select distinct on (x.id) x.* from asked, rows from (jsonb_to_recordset(asked.rows) as (
        {record.COMPLETED_COLUMNS}, state text, cached int, finish_reason text, attempts int,
        queue_ms int, ttft_ms int, message text, cost bigint, member_id uuid,
        team_id uuid, beyond jsonb, pool text, klass text, hosted bool, cache text,
        repeated bool, gpu_ms bigint, millijoules bigint, session uuid))
        with ordinality as x
        join ended on ended.request = x.id order by x.id, x.ordinality),
    {record.COMPLETED},{OVERRUN}
    answered as (
        update inference_message m
        set ciphertext = decode(j.message, 'base64'), finish_reason = j.finish_reason
        from j where m.completion_id = j.id and m.ciphertext is null and j.message is not null),
    closed as (
        update inference_completion c set state = j.state, settled_at = j.at, pool = j.pool
        from j where c.id = j.id and c.state = 'open'),
    used as (insert into inference_usage
        (completion_id, tenant_id, api_key_id, member_id, team_id, model, pool, klass,
         prompt_tokens, completion_tokens, cached_tokens, cost, status, finish_reason, error_code,
         attempts, preemptions, queue_ms, ttft_ms, duration_ms, created_at, hosted, cache,
         repeated, gpu_ms, millijoules, adapter, adapter_version, session)
    select id, tenant_id, api_key_id, member_id, team_id, model, pool, klass,
           tokens_in, tokens_out, cached, cost, status, finish_reason, error_code,
           attempts, preemptions, queue_ms, ttft_ms, processing_ms, at, {LEFT}, coalesce(cache, ''),
           coalesce(repeated, false), coalesce(gpu_ms, 0), millijoules, coalesce(adapter, ''),
           coalesce(adapter_version, ''), session
    from j on conflict (completion_id) do nothing)
    select id, at from j"""
