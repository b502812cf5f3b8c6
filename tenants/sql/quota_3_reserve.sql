-- Sets aside the most that requests may cost, or says which quota has no room for them.

create or replace function tenants_asked(rows jsonb)
returns table (n bigint, id uuid, at timestamptz, tenant_id uuid, api_key_id uuid, member_id uuid,
               model text, tokens bigint, cost bigint, day_starts timestamptz,
               day_ends timestamptz, month_starts timestamptz, month_ends timestamptz)
language sql stable as $$
    select n, id, at, tenant_id, api_key_id, member_id, model, tokens, cost,
           day_starts, day_ends, month_starts, month_ends
    from rows from (jsonb_to_recordset(rows) as (
        id uuid, at timestamptz, tenant_id uuid, api_key_id uuid, member_id uuid, model text,
        tokens bigint, cost bigint, day_starts timestamptz, day_ends timestamptz,
        month_starts timestamptz, month_ends timestamptz)) with ordinality as r(
        id, at, tenant_id, api_key_id, member_id, model, tokens, cost,
        day_starts, day_ends, month_starts, month_ends, n)
$$;

-- The GPU time of the request at this place, from 1. Rows of earlier versions have none.
create or replace function tenants_asked_gpu_ms(rows jsonb, n bigint) returns bigint
language sql immutable as $$
    select coalesce((rows -> (n - 1)::int ->> 'gpu_ms')::bigint, 0)
$$;

-- Its session; most have none.
create or replace function tenants_asked_session(rows jsonb, n bigint) returns uuid
language sql immutable as $$
    select (rows -> (n - 1)::int ->> 'session')::uuid
$$;

-- Its team; rows of earlier versions have none.
create or replace function tenants_asked_team(rows jsonb, n bigint) returns uuid
language sql immutable as $$
    select (rows -> (n - 1)::int ->> 'team_id')::uuid
$$;

-- Each request with each quota that counts it, and that quota's window. Quotas per session count
-- requests that have one; the window is not theirs.
create or replace function tenants_counted(rows jsonb)
returns table (n bigint, id uuid, at timestamptz, quota uuid, amount bigint,
               starts timestamptz, ends timestamptz)
language sql stable as $$
    select r.n, r.id, r.at, q.id,
           case q.unit when 'requests' then 1 when 'tokens' then r.tokens
                       when 'gpu_seconds' then tenants_gpu_seconds(tenants_asked_gpu_ms(rows, r.n))
                       else r.cost end,
           case q."window" when 'day' then r.day_starts else r.month_starts end,
           case q."window" when 'day' then r.day_ends else r.month_ends end
    from tenants_asked(rows) r
    cross join lateral (
        select q.id, q.unit, q."window" from tenants_quota q
        where q.tenant_id = r.tenant_id
          and (q.model = '' or q.model = r.model)
          and (q.member_id is null or q.member_id = r.member_id)
          and (q.team_id is null or q.team_id = tenants_asked_team(rows, r.n))
          and (q.api_key_id is null or q.api_key_id = tenants_standing_key(r.api_key_id))
          and (q."window" <> 'session' or tenants_asked_session(rows, r.n) is not null)
        offset 0) q
$$;

-- The sessions of requests, with each quota that counts one of them.
create or replace function tenants_sessions(rows jsonb)
returns table (tenant_id uuid, quota uuid, session uuid)
language sql stable as $$
    select distinct q.tenant_id, x.quota, tenants_asked_session(rows, x.n)
    from tenants_counted(rows) x
    cross join lateral (
        select q.tenant_id from tenants_quota q
        where q.id = x.quota and q."window" = 'session' offset 0) q
$$;

-- The windows in which requests arrive, of every quota that their tenants have.
create or replace function tenants_windows(rows jsonb)
returns table (tenant_id uuid, quota uuid, starts timestamptz, ends timestamptz)
language sql stable as $$
    select distinct q.tenant_id, q.id,
           case q."window" when 'day' then r.day_starts else r.month_starts end,
           case q."window" when 'day' then r.day_ends else r.month_ends end
    from (select distinct tenant_id, day_starts, day_ends, month_starts, month_ends
          from tenants_asked(rows)) r
    cross join lateral (
        select q.tenant_id, q.id, q."window" from tenants_quota q
        where q.tenant_id = r.tenant_id and q."window" <> 'session' offset 0) q
$$;

-- What to tell of a counter that has no room. It is locked: these are the figures that decided.
create or replace function tenants_full(
    counter bigint, allowed bigint, also_reserved bigint, asked bigint
) returns jsonb
language sql stable as $$
    select jsonb_build_object('quota', c.quota_id, 'unit', q.unit, 'window', q."window",
        'limit', allowed, 'used', c.used, 'reserved', c.reserved + also_reserved, 'ends', c.ends,
        'asked', asked)
    from (select counter as id) w
    left join tenants_quotacounter c on c.id = w.id
    left join tenants_quota q on q.id = c.quota_id
$$;

-- Answers for requests that quotas count; either `taken`, a list of [unit, limit, remaining, ends]
-- by quota, or `refused` is set. Refused requests leave nothing behind. Those that are in the
-- ledger already (a group that is sent again) stay in, count once, and get no answer.
--
-- A group has few rows, and each finds its quotas by an index. PostgreSQL takes any JSON for 100
-- rows: without the settings it would rather read every tenant's quotas, each time (8 ms with
-- 30,000 of them instead of 0.5). They hold for the sums behind a new counter too, whose joins
-- over a whole window need hashing: so only the scans are told. And a young ledger has the
-- statistics of an empty one, with which a plain join reads all of it for each group: laterals that
-- PostgreSQL cannot pull up (offset 0, limit 1) look up row by row whatever it believes.
create or replace function tenants_reserve(rows jsonb)
returns table (request uuid, taken jsonb, refused jsonb)
language plpgsql rows 10
set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
declare
    tenants uuid[];
    in_session bool;     -- one of the requests has a session
    opening uuid[];
    beginning uuid[];    -- tenants with a session that a quota counts for the first time
    begun bigint[];      -- counters of the other sessions
    whose uuid[];        -- each request with each counter that counts it:
    places bigint[];     --   that counter's place in the next ones
    amounts bigint[];    --   what it sets aside there
    counters bigint[];   -- every counter that counts one of the requests, in order, and of each:
    units text[];
    ends timestamptz[];
    allowed bigint[];    --   its quota's limit with raises
    room bigint[];       --   what is left
    added bigint[];      --   what these requests set aside
    out_of_room uuid[] := '{}';
    asking record;
    place int;
    i int;
begin
    select array_agg(distinct r.tenant_id), bool_or(r.session is not null) into tenants, in_session
    from jsonb_to_recordset(rows) r(tenant_id uuid, session uuid);

    -- Windows that have just begun: of all quotas of a tenant, whatever the requests are. Later,
    -- with a ledger that has grown, everybody would wait for the sum of a quota used for once.
    if exists (select from tenants_quota q where q.tenant_id = any(tenants)) then
        select array_agg(distinct x.tenant_id) into opening from tenants_windows(rows) x
        where not exists (
            select from tenants_quotacounter c
            where c.quota_id = x.quota and c.session is null and c.starts = x.starts);
        if in_session then
            select array_agg(distinct x.tenant_id) filter (where c.id is null),
                   array_agg(c.id) filter (where c.id is not null)
            into beginning, begun
            from tenants_sessions(rows) x
            left join lateral (
                select c.id from tenants_quotacounter c
                where c.quota_id = x.quota and c.session = x.session offset 0) c on true;
        end if;
    end if;

    perform tenants_hold(tenants, coalesce(opening, '{}') || coalesce(beginning, '{}'));

    if opening is not null then
        perform tenants_open_counter(x.quota, x.starts, x.ends) from tenants_windows(rows) x
        where x.tenant_id = any(opening);
    end if;
    if beginning is not null then
        perform tenants_open_session(x.quota, x.session) from tenants_sessions(rows) x
        where x.tenant_id = any(beginning);
    end if;
    -- A counter that was deleted since then (tenants/quotas/windows.py) had nothing set aside: no
    -- settlement can be on its way, and the ledger's sum is whole though the stripe is shared.
    if exists (select from unnest(begun) b(id) where not exists (
            select from tenants_quotacounter c where c.id = b.id)) then
        perform tenants_open_session(x.quota, x.session) from tenants_sessions(rows) x;
    end if;

    -- Those of an earlier time zone's windows too: nobody begins anew by moving to another one.
    if exists (select from tenants_quotacounter c where c.tenant_id = any(tenants)) then
        select array_agg(distinct x.counter order by x.counter),
               array_agg(x.id order by x.n, x.quota, x.counter),
               array_agg(x.place order by x.n, x.quota, x.counter),
               array_agg(x.amount order by x.n, x.quota, x.counter)
        into counters, whose, places, amounts
        from (select x.n, x.id, x.quota, x.amount, c.id as counter,
                     dense_rank() over (order by c.id) as place
              from (select distinct on (x.id, x.quota) x.* from tenants_counted(rows) x
                    order by x.id, x.quota, x.n) x
              cross join lateral (
                  select c.id from tenants_quotacounter c
                  where c.quota_id = x.quota and c.session is null
                    and c.starts <= x.at and c.ends > x.at
                  union all
                  select c.id from tenants_quotacounter c
                  where in_session and c.quota_id = x.quota
                    and c.session = tenants_asked_session(rows, x.n)
                  offset 0) c) x;
    end if;

    if counters is not null then
        perform tenants_lock_counters(counters);
        select array_agg(q.allowed order by w.place),
               array_agg(q.allowed - c.used - c.reserved order by w.place),
               array_agg(0::bigint),
               array_agg(q.unit order by w.place),
               array_agg(c.ends order by w.place)
        into allowed, room, added, units, ends
        from unnest(counters) with ordinality w(id, place)
        left join lateral (select * from tenants_quotacounter c where c.id = w.id offset 0) c on true
        left join lateral (
            select q.unit, q."limit" + r.raised as allowed
            from tenants_quota q cross join lateral tenants_raises(q.id) r
            where q.id = c.quota_id offset 0) q on true;

        for asking in
            select w.id, array_agg(w.place order by w.i) as places,
                   array_agg(w.amount order by w.i) as amounts
            from unnest(whose, places, amounts) with ordinality w(id, place, amount, i)
            group by w.id
            having (select e.id from tenants_ledgerentry e
                    where e.request_id = w.id and e.kind = 'reserve') is null
            order by min(w.i)
        loop
            request := asking.id;
            taken := '[]';
            refused := null;
            for i in 1 .. cardinality(asking.places) loop
                place := asking.places[i];
                if asking.amounts[i] > greatest(room[place], 0) then
                    taken := null;
                    refused := tenants_full(
                        counters[place], allowed[place], added[place], asking.amounts[i]);
                    out_of_room := out_of_room || asking.id;
                    exit;
                end if;
            end loop;
            if refused is null then
                for i in 1 .. cardinality(asking.places) loop
                    place := asking.places[i];
                    room[place] := room[place] - asking.amounts[i];
                    added[place] := added[place] + asking.amounts[i];
                    taken := taken || jsonb_build_array(jsonb_build_array(
                        units[place], allowed[place], greatest(room[place], 0), ends[place]));
                end loop;
            end if;
            return next;
        end loop;

        update tenants_quotacounter c set reserved = c.reserved + w.added
        from unnest(counters, added) w(id, added) where c.id = w.id and w.added <> 0;
    end if;

    insert into tenants_ledgerentry (at, counts_at, tenant_id, request_id, kind, api_key_id,
                                     member_id, team_id, model, requests, tokens, cost, gpu_ms,
                                     session)
    select r.at, r.at, r.tenant_id, r.id, 'reserve', r.api_key_id, r.member_id,
           tenants_asked_team(rows, r.n), r.model, 1, r.tokens, r.cost,
           tenants_asked_gpu_ms(rows, r.n),
           case when in_session then tenants_asked_session(rows, r.n) end
    from tenants_asked(rows) r where r.id <> all(out_of_room) order by r.id
    on conflict do nothing;
end $$;
