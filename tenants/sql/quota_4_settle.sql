-- Requests are over: what was set aside comes back, what was used is counted. Returns those that
-- were not over before; who settles second changes nothing, in a group with the first one too.
--
-- A request that failed or was cancelled before anything was generated is released: it counts as
-- no request, and costs nothing. Whatever happens after midnight counts in the window in which the
-- request came in. Scope and amounts of what was set aside are the ledger's own.
--
-- The settings and the laterals are tenants_reserve's. `rows`: PostgreSQL would expect 1,000 of them, and read all
-- completions there are to close these.
create or replace function tenants_settle(rows jsonb) returns table (request uuid)
language plpgsql rows 10
set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
declare
    tenants uuid[];
    ended tenants_ledgerentry[];
    counters bigint[];
    given_back bigint[];
    spent bigint[];
begin
    select array_agg(distinct r.tenant_id) into tenants
    from jsonb_to_recordset(rows) r(tenant_id uuid);
    perform tenants_hold(tenants);

    with fresh as (
        insert into tenants_ledgerentry as e (at, counts_at, tenant_id, request_id, kind,
                                              api_key_id, member_id, team_id, model, requests,
                                              tokens, cost, gpu_ms, session)
        select x.at, coalesce(r.counts_at, x.at), coalesce(r.tenant_id, x.tenant_id), x.id,
               case when x.nothing then 'release' else 'settle' end,
               case when r.id is null then x.api_key_id else r.api_key_id end,
               case when r.id is null then x.member_id else r.member_id end,
               case when r.id is null then x.team_id else r.team_id end,
               coalesce(r.model, x.model), (not x.nothing)::int, x.tokens,
               case when x.nothing then 0 else x.cost end, coalesce(x.gpu_ms, 0),
               case when r.id is null then x.session else r.session end
        from (select distinct on (id) *, tokens_in + tokens_out as tokens,
                     tokens_in + tokens_out + coalesce(gpu_ms, 0) = 0
                         and status <> 200 as nothing
              from rows from (jsonb_to_recordset(rows) as (id uuid, at timestamptz, tenant_id uuid,
                   api_key_id uuid, member_id uuid, team_id uuid, model text, status int, tokens_in bigint,
                   tokens_out bigint, cost bigint, gpu_ms bigint, session uuid)) with ordinality
              order by id, ordinality) x
        left join lateral (
            select * from tenants_ledgerentry r
            where r.request_id = x.id and r.kind = 'reserve' limit 1) r on true
        order by x.id
        on conflict do nothing
        returning e as entry)
    select array_agg(entry) into ended from fresh;

    if ended is null then
        return;
    end if;

    if exists (select from tenants_quotacounter c where c.tenant_id = any(tenants)) then
        select array_agg(d.id order by d.id), array_agg(d.given_back order by d.id),
               array_agg(d.spent order by d.id)
        into counters, given_back, spent
        from (
            select c.id,
                   sum(case q.unit when 'requests' then e.requests_aside
                                   when 'tokens' then e.tokens_aside
                                   when 'gpu_seconds' then tenants_gpu_seconds(e.gpu_ms_aside)
                                   else e.cost_aside end) as given_back,
                   sum(case q.unit when 'requests' then e.requests when 'tokens' then e.tokens
                                   when 'gpu_seconds' then tenants_gpu_seconds(e.gpu_ms)
                                   else e.cost end) as spent
            from (select e.*, r.requests as requests_aside, r.tokens as tokens_aside,
                         r.cost as cost_aside, r.gpu_ms as gpu_ms_aside
                  from unnest(ended) e
                  left join lateral (
                      select * from tenants_ledgerentry r
                      where r.request_id = e.request_id and r.kind = 'reserve' limit 1) r on true
                  offset 0) e
            cross join lateral (
                select q.id, q.unit from tenants_quota q
                where q.tenant_id = e.tenant_id
                  and (q.model = '' or q.model = e.model)
                  and (q.member_id is null or q.member_id = e.member_id)
                  and (q.team_id is null or q.team_id = e.team_id)
                  and (q.api_key_id is null or q.api_key_id = tenants_standing_key(e.api_key_id))
                offset 0) q
            cross join lateral (
                select c.id from tenants_quotacounter c
                where c.quota_id = q.id and c.session is null
                  and c.starts <= e.counts_at and c.ends > e.counts_at
                union all
                select c.id from tenants_quotacounter c
                where c.quota_id = q.id and c.session = e.session
                offset 0) c
            group by c.id) d;
    end if;

    if counters is not null then
        perform tenants_lock_counters(counters);
        update tenants_quotacounter c
        set used = c.used + w.spent, reserved = c.reserved - coalesce(w.given_back, 0)
        from unnest(counters, given_back, spent) w(id, given_back, spent) where c.id = w.id;
        perform tenants_notice(counters);
    end if;

    return query select e.request_id from unnest(ended) e;
end $$;

-- Says once per window that 80 % or 100 % of a quota are used, in the trail too. Sessions say it to
-- nobody: their clients read it from the headers.
create or replace function tenants_notice(counters bigint[]) returns void
language sql as $$
    with passed as (
        insert into tenants_quotanotice (tenant_id, quota_id, starts, percent, at)
        select c.tenant_id, c.quota_id, c.starts, p.percent, clock_timestamp()
        from (select c.*, q."limit"
              from tenants_quotacounter c join tenants_quota q on q.id = c.quota_id
              where c.id = any(counters) and c.session is null
                and c.used::numeric * 100 >= q."limit"::numeric * 80  -- raises only add to it
              offset 0) c
        cross join lateral (
            select c."limit" + r.raised as allowed from tenants_raises(c.quota_id) r) a
        cross join (values (80), (100)) p(percent)
        where a.allowed > 0
          and c.used::numeric * 100 >= a.allowed::numeric * p.percent
          and not exists (select from tenants_quotanotice n where n.quota_id = c.quota_id
                          and n.starts = c.starts and n.percent = p.percent)
        on conflict do nothing
        returning *)
    insert into audit_event (at, action, tenant_id, actor, route, model, upstream, success,
                             error_code, detail)
    select p.at, 'quota:reached', p.tenant_id, 'platform', '', q.model, '', true, '',
           jsonb_build_object('quota', q.id, 'percent', p.percent, 'unit', q.unit,
               'window', q."window", 'limit', q."limit" + r.raised, 'used', c.used,
               'starts', c.starts)  -- of what is allowed, as the percentage
    from passed p join tenants_quota q on q.id = p.quota_id
    join tenants_quotacounter c on c.quota_id = q.id and c.starts = p.starts
    cross join lateral (select * from tenants_raises(q.id)) r
$$;
