-- The months of audit_event and audit_payload: each a partition, made before its first row comes.
--
-- These functions run as the owner of the tables (security definer): the application itself has no
-- right to change tables. `pg_temp` stands last, or a temporary table could stand in for a real one.

-- Opens every tenant's rows, or puts back what it answered before. (A function's own SET would do
-- this by itself, but only a superuser may give one for a setting that PostgreSQL does not know.)
create or replace function audit_see(everything text) returns text
language plpgsql as $$
declare
    before text := coalesce(current_setting('forebay.system', true), '');
begin
    perform set_config('forebay.system', everything, true);
    return before;
end $$;

create or replace function audit_partition_name(parent text, month date) returns text
language sql stable as $$ select parent || to_char(month, '"_y"YYYY"_m"MM') $$;

-- What attaching a partition does not bring along by itself: row security, and the last trigger.
create or replace function audit_dress_partition(part text, parent text) returns void
language plpgsql as $$
declare
    policy record;
begin
    execute format('alter table %I enable row level security, force row level security', part);
    for policy in
        select policyname, cmd, qual, with_check,
               (select string_agg(case role when 'public' then role else quote_ident(role) end, ', ')
                from unnest(roles) role) as whose
        from pg_policies where schemaname = current_schema() and tablename = parent
    loop
        execute format('create policy %I on %I for %s to %s using (%s)',
            policy.policyname, part, policy.cmd, policy.whose, policy.qual)
            || coalesce(format(' with check (%s)', policy.with_check), '');
    end loop;
    perform audit_guard_truncate(part::regclass);
end $$;

-- Made beside its table and then attached: rows can be written all the while.
create or replace function audit_attach(part text, parent text, bounds text) returns void
language plpgsql as $$
begin
    execute format('create table %I (like %I including defaults including constraints)',
        part, parent);
    perform audit_dress_partition(part, parent);
    execute format('alter table %I attach partition %I %s', parent, part, bounds);
end $$;

create or replace function audit_attach_month(parent text, month date) returns void
language sql as $$
    select audit_attach(audit_partition_name(parent, month), parent, format(
        'for values from (''%s 00:00+00'') to (''%s 00:00+00'')',
        month, (month + interval '1 month')::date))
$$;

-- Rows of the month came before its partition did: they move out of the default one, unchanged.
create or replace function audit_fold_out(parent text, month date) returns void
language plpgsql as $$
declare
    stray text := parent || '_default';
    former text := parent || '_former';
begin
    execute format('lock table %I in access exclusive mode', parent);
    execute format('alter table %I detach partition %I', parent, stray);
    execute format('alter table %I rename to %I', stray, former);
    perform audit_attach_month(parent, month);
    perform audit_attach(stray, parent, 'default');
    execute format('insert into %I select * from %I', parent, former);
    execute format('drop table %I', former);
end $$;

-- Months of rows that lie in the default partition, from the oldest month there is on.
create or replace function audit_stray_months(parent text, until date) returns setof date
language plpgsql stable as $$
declare
    oldest text;
begin
    select min(c.relname) into oldest from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = parent::regclass and c.relname like parent || '\_y%';
    return query execute format(
        'select distinct date_trunc(''month'', at)::date from %I where at < $1', parent || '_default')
        || ' and at >= $2'
        using until, to_date(right(oldest, 8), 'YYYY"_m"MM');
end $$;

create or replace function audit_make_partitions(months_ahead integer) returns text[]
language plpgsql security definer
set search_path = public, pg_temp
set timezone = 'UTC'
set lock_timeout = '3s'
as $$
declare
    seen text := audit_see('on');
    last date := date_trunc('month', now() + make_interval(months => months_ahead));
    parent text;
    made text[] := '{}';
    strays date[];
    month date;
begin
    if months_ahead is null or months_ahead not between 0 and 24 then
        raise exception 'months_ahead: 0 to 24' using errcode = 'invalid_parameter_value';
    end if;
    perform pg_advisory_xact_lock(1096107081);  -- "AUDI": one at a time makes or drops months
    foreach parent in array array['audit_event', 'audit_payload'] loop
        strays := array(select audit_stray_months(parent, (last + interval '1 month')::date));
        for month in
            select m::date from generate_series(date_trunc('month', now()), last::timestamptz, '1 month') m
            union select unnest(strays) order by 1
        loop
            continue when to_regclass(audit_partition_name(parent, month)) is not null;
            if month = any(strays) then
                perform audit_fold_out(parent, month);
            else
                perform audit_attach_month(parent, month);
            end if;
            made := made || audit_partition_name(parent, month);
        end loop;
    end loop;
    perform audit_see(seen);
    return made;
end $$;

-- For the self-check: the application may not look into partitions by itself.
create or replace function audit_stray_rows() returns bigint
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
    seen text := audit_see('on');
    strays bigint := (select count(*) from audit_event_default)
                   + (select count(*) from audit_payload_default);
begin
    perform audit_see(seen);
    return strays;
end $$;
