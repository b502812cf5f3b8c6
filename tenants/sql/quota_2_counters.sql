-- What a quota counts, and what stands against it.

-- A key's requests count for the key in whose place it stands: a rotation moves quotas on.
create or replace function tenants_standing_key(key uuid) returns uuid
language sql stable as $$
    select coalesce((select replaced_by_id from tenants_apikey where id = key), key)
$$;

-- A table of one row: unlike a scalar, that becomes a part of the query which asks for it.
create or replace function tenants_raises(quota uuid) returns table (raised bigint)
language sql stable as $$
    select coalesce(sum(amount), 0)::bigint from tenants_quotaraise
    where quota_id = quota and state = 'approved' and expires_at > now()
$$;

-- From the ledger: a request that is over counts with its second entry alone.
create or replace function tenants_ledger_sum(
    quota uuid, window_starts timestamptz, window_ends timestamptz,
    out used bigint, out reserved bigint
)
language sql stable as $$
    with e as (
        select e.request_id, e.kind, case q.unit when 'requests' then e.requests
                                                 when 'tokens' then e.tokens else e.cost end as n
        from tenants_quota q join tenants_ledgerentry e on e.tenant_id = q.tenant_id
        where q.id = quota and e.counts_at >= window_starts and e.counts_at < window_ends
          and (q.model = '' or q.model = e.model)
          and (q.member_id is null or q.member_id = e.member_id)
          and (q.api_key_id is null or e.api_key_id in (
                select k.id from tenants_apikey k
                where k.id = q.api_key_id or k.replaced_by_id = q.api_key_id)))
    select coalesce(sum(n) filter (where kind <> 'reserve'), 0)::bigint,
           coalesce(sum(n) filter (where kind = 'reserve'), 0)::bigint - coalesce((
               select sum(r.n) from e r join e d using (request_id)
               where r.kind = 'reserve' and d.kind <> 'reserve'), 0)::bigint
    from e
$$;

-- Makes the counter of a window, if there is none. The tenant's stripe must be held alone.
create or replace function tenants_open_counter(
    quota uuid, window_starts timestamptz, window_ends timestamptz
) returns void
language sql as $$
    insert into tenants_quotacounter (tenant_id, quota_id, starts, ends, used, reserved)
    select q.tenant_id, q.id, window_starts, window_ends, s.used, s.reserved
    from tenants_quota q, tenants_ledger_sum(q.id, window_starts, window_ends) s
    where q.id = quota and not exists (
        select from tenants_quotacounter c where c.quota_id = quota and c.starts = window_starts)
$$;
