-- Who may change what stands against a quota, and who must wait.
--
-- A counter is the sum of its ledger entries. Whoever adds entries also adds to the counters there
-- are; whoever makes a counter sums up the entries there are. The two must not overlap, or an entry
-- counts twice or never: reserve and settle hold their tenants' stripes of locks together, and who
-- makes or drops a counter holds the stripe alone. Everybody takes stripes in order, then counters
-- in order, so nobody waits in a circle.

create or replace function tenants_stripe(tenant uuid) returns int
language sql immutable parallel safe as $$ select get_byte(uuid_send(tenant), 0) & 63 $$;

create or replace function tenants_hold(tenants uuid[], alone uuid[] default '{}') returns void
language plpgsql as $$
declare
    quota constant int := 1364545364;  -- "QUOT"
    held record;
begin
    for held in
        select tenants_stripe(t) as stripe, bool_or(t = any(alone)) as alone
        from unnest(tenants) t group by 1 order by 1
    loop
        if held.alone then
            perform pg_advisory_xact_lock(quota, held.stripe);
        else
            perform pg_advisory_xact_lock_shared(quota, held.stripe);
        end if;
    end loop;
end $$;

-- The counters' own locks; a counter that is gone by now is left out.
create or replace function tenants_lock_counters(wanted bigint[]) returns void
language sql as $$
    select from tenants_quotacounter where id = any(wanted) order by id for no key update
$$;
