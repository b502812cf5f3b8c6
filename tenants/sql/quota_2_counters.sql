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

-- GPU time in the unit of quotas; what was begun counts as a whole second.
create or replace function tenants_gpu_seconds(gpu_ms bigint) returns bigint
language sql immutable as $$ select (gpu_ms + 999) / 1000 $$;

-- From the ledger: a request that is over counts with its second entry alone.
create or replace function tenants_ledger_until(
    quota uuid, window_starts timestamptz, window_ends timestamptz, last_entry bigint,
    out used bigint, out reserved bigint
)
language sql stable as $$
    with e as (
        select e.request_id, e.kind, case q.unit when 'requests' then e.requests
                                                 when 'tokens' then e.tokens
                                                 when 'gpu_seconds' then tenants_gpu_seconds(e.gpu_ms)
                                                 else e.cost end as n
        from tenants_quota q join tenants_ledgerentry e on e.tenant_id = q.tenant_id
        where q.id = quota and e.counts_at >= window_starts and e.counts_at < window_ends
          and e.id <= last_entry and (q.model = '' or q.model = e.model)
          and (q.member_id is null or q.member_id = e.member_id)
          and (q.team_id is null or q.team_id = e.team_id)
          and (q.api_key_id is null or e.api_key_id in (
                select k.id from tenants_apikey k
                where k.id = q.api_key_id or k.replaced_by_id = q.api_key_id)))
    -- By request, not as a join of `e` with itself: that is quadratic until there are statistics.
    select coalesce(sum(used), 0)::bigint, coalesce(sum(reserved) filter (where not ended), 0)::bigint
    from (select bool_or(kind <> 'reserve') as ended,
                 sum(n) filter (where kind <> 'reserve') as used,
                 sum(n) filter (where kind = 'reserve') as reserved
          from e group by request_id) by_request
$$;

create or replace function tenants_ledger_sum(
    quota uuid, window_starts timestamptz, window_ends timestamptz,
    out used bigint, out reserved bigint
)
language sql stable as $$
    select * from tenants_ledger_until(quota, window_starts, window_ends, 9223372036854775807)
$$;

-- What came after an entry. Whatever else the ledger holds is not looked at: only the entries'
-- ids can find the first ones, and each of them finds what it settles by the request.
create or replace function tenants_ledger_since(
    quota uuid, window_starts timestamptz, window_ends timestamptz, last_entry bigint,
    out used bigint, out reserved bigint
)
language sql stable set enable_seqscan = off as $$
    with fresh as materialized (select * from tenants_ledgerentry where id > last_entry),
    e as (
        select e.kind, case q.unit when 'requests' then e.requests
                                   when 'tokens' then e.tokens
                                   when 'gpu_seconds' then tenants_gpu_seconds(e.gpu_ms)
                                   else e.cost end as n,
               case when e.kind = 'reserve' then 0 else coalesce((
                   select case q.unit when 'requests' then r.requests
                                      when 'tokens' then r.tokens
                                      when 'gpu_seconds' then tenants_gpu_seconds(r.gpu_ms)
                                      else r.cost end
                   from tenants_ledgerentry r
                   where r.request_id = e.request_id and r.kind = 'reserve'), 0) end as given_back
        from tenants_quota q join fresh e on e.tenant_id = q.tenant_id
        where q.id = quota and e.counts_at >= window_starts and e.counts_at < window_ends
          and (q.model = '' or q.model = e.model)
          and (q.member_id is null or q.member_id = e.member_id)
          and (q.team_id is null or q.team_id = e.team_id)
          and (q.api_key_id is null or e.api_key_id in (
                select k.id from tenants_apikey k
                where k.id = q.api_key_id or k.replaced_by_id = q.api_key_id)))
    select coalesce(sum(n) filter (where kind <> 'reserve'), 0)::bigint,
           coalesce(sum(n) filter (where kind = 'reserve'), 0)::bigint
               - coalesce(sum(given_back), 0)::bigint
    from e
$$;

-- An entry's id: all entries of the tenant up to it are committed, all others will be after it.
-- For whoever writes some holds the stripe by then, and nobody does while the id is drawn.
create or replace function tenants_ledger_mark(tenant uuid) returns bigint
language plpgsql security definer set search_path = pg_catalog, public as $$
declare
    quota constant int := 1364545364;  -- "QUOT"
    mark bigint;
begin
    perform pg_advisory_lock(quota, tenants_stripe(tenant));
    mark := nextval(pg_get_serial_sequence('tenants_ledgerentry', 'id'));
    perform pg_advisory_unlock(quota, tenants_stripe(tenant));
    return mark;
end $$;

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

-- The same for a window whose sum up to an entry (tenants_ledger_mark) is known: a long look at the
-- ledger is not for whoever keeps a stripe for themselves.
create or replace function tenants_open_counter_after(
    quota uuid, window_starts timestamptz, window_ends timestamptz,
    used_before bigint, reserved_before bigint, last_entry bigint
) returns void
language sql as $$
    insert into tenants_quotacounter (tenant_id, quota_id, starts, ends, used, reserved)
    select q.tenant_id, q.id, window_starts, window_ends,
           used_before + s.used, reserved_before + s.reserved
    from tenants_quota q, tenants_ledger_since(q.id, window_starts, window_ends, last_entry) s
    where q.id = quota and not exists (
        select from tenants_quotacounter c where c.quota_id = quota and c.starts = window_starts)
$$;

-- Sessions ---------------------------------------------------------------------------------------
-- A quota per session has a counter for each session that it counts, for as long as anybody uses
-- it: `session` says whose it is, and its window is all time. Counters of days and months have no
-- session. What a request's session is, the row or the entry says; most have none.

-- All that the ledger has of a session, for a quota. The ledger's index of sessions finds it.
create or replace function tenants_session_sum(
    quota uuid, of_session uuid, out used bigint, out reserved bigint
)
language sql stable set enable_seqscan = off as $$
    with e as (
        select e.request_id, e.kind, case q.unit when 'requests' then e.requests
                                                 when 'tokens' then e.tokens
                                                 when 'gpu_seconds' then tenants_gpu_seconds(e.gpu_ms)
                                                 else e.cost end as n
        from tenants_quota q
        join tenants_ledgerentry e on e.tenant_id = q.tenant_id and e.session = of_session
        where q.id = quota and (q.model = '' or q.model = e.model)
          and (q.member_id is null or q.member_id = e.member_id)
          and (q.team_id is null or q.team_id = e.team_id)
          and (q.api_key_id is null or e.api_key_id in (
                select k.id from tenants_apikey k
                where k.id = q.api_key_id or k.replaced_by_id = q.api_key_id)))
    select coalesce(sum(used), 0)::bigint, coalesce(sum(reserved) filter (where not ended), 0)::bigint
    from (select bool_or(kind <> 'reserve') as ended,
                 sum(n) filter (where kind <> 'reserve') as used,
                 sum(n) filter (where kind = 'reserve') as reserved
          from e group by request_id) by_request
$$;

-- Makes the counter of a session, if there is none. The tenant's stripe must be held alone, unless
-- none of its requests is in progress.
create or replace function tenants_open_session(quota uuid, of_session uuid) returns void
language sql as $$
    insert into tenants_quotacounter (tenant_id, quota_id, session, starts, ends, used, reserved)
    select q.tenant_id, q.id, of_session, '2000-01-01 00:00+00', '9999-01-01 00:00+00',
           s.used, s.reserved
    from tenants_quota q, tenants_session_sum(q.id, of_session) s
    where q.id = quota and not exists (
        select from tenants_quotacounter c where c.quota_id = quota and c.session = of_session)
    on conflict do nothing
$$;
