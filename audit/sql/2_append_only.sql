-- Events, texts and proofs are added, never changed, and go only through the functions below.
--
-- These triggers stop whoever has the right to write; that the application cannot disable them is
-- the matter of roles (audit/trail/database_owner.py).

create or replace function audit_refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only: no %', tg_table_name, lower(tg_op)
        using errcode = 'insufficient_privilege';
end $$;

create or replace function audit_refuse_truncate() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only: no truncate', tg_table_name
        using errcode = 'insufficient_privilege';
end $$;

-- Without approval a hold keeps what it covers for a while, and not time and again (5_retention.sql).
create or replace function audit_hold_in_force(h audit_legalhold) returns boolean
language sql stable as $$
    select h.released_at is null and h.expires_at > now()
       and (h.approved_at is not null or h.holds_meanwhile and h.waits_until > now())
$$;

-- Whose the text is, its event knows; one without an event may be anybody's.
create or replace function audit_text_on_hold(tenant uuid, request uuid, written timestamptz)
returns boolean
language sql stable as $$
    select exists (
        select from audit_legalhold h
        where h.tenant_id = tenant and audit_hold_in_force(h)
          and coalesce(h.covers_from, '-infinity') <= written
          and coalesce(h.covers_until, 'infinity') > written
          and (h.subject_id is null or not exists (
                select from audit_event e
                where e.request_id = request and e.at = written and e.subject_id <> h.subject_id)))
$$;

-- A text whose key is gone is noise, and one whose time is over has had it: they may go, unless a
-- court wants to see them.
create or replace function audit_refuse_text_change() returns trigger
language plpgsql
set search_path = public, pg_temp
as $$
declare
    seen text := audit_see('on');
begin
    if tg_op <> 'DELETE' then
        raise exception '% is append-only: no %', tg_table_name, lower(tg_op)
            using errcode = 'insufficient_privilege';
    elsif old.at > now() - make_interval(days => greatest(184, audit_retention_of(old.tenant_id)))
          and exists (select from audit_datakey k where k.id = old.data_key_id) then
        raise exception '% is append-only: a text goes after its key', tg_table_name
            using errcode = 'insufficient_privilege';
    elsif audit_text_on_hold(old.tenant_id, old.request_id, old.at) then
        raise exception 'a legal hold keeps this text' using errcode = 'AU001';
    end if;
    perform audit_see(seen);
    return old;
end $$;

-- Deletes up to `most` of the texts that destroyed keys encrypted. Answers how many.
create or replace function audit_erase_some_texts(key_ids uuid[], most integer) returns bigint
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
    seen text := audit_see('on');
    erased bigint;
begin
    if exists (select from audit_datakey where id = any(key_ids)) then
        raise exception 'a text goes after its key: that is still there'
            using errcode = 'insufficient_privilege';
    end if;
    perform pg_advisory_xact_lock_shared(hashtextextended('hold:' || t.tenant_id, 0))
    from (select distinct tenant_id from audit_payload
          where data_key_id = any(key_ids) order by 1) t;  -- no hold begins meanwhile
    delete from audit_payload p using (
        select id, at from audit_payload where data_key_id = any(key_ids) limit most) erased_now
    where p.id = erased_now.id and p.at = erased_now.at;
    get diagnostics erased = row_count;
    perform audit_see(seen);
    return erased;
end $$;

-- All of them or none, as earlier versions ask.
create or replace function audit_erase_texts(key_ids uuid[]) returns bigint
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
    return audit_erase_some_texts(key_ids, 2147483647);
end $$;

create or replace function audit_unsealed_of_month(month date) returns bigint
language plpgsql stable as $$
declare
    part text := audit_partition_name('audit_event', month);
    unsealed bigint := 0;
begin
    if to_regclass(part) is not null then
        execute format(
            'select count(*) from %I e where not exists (
                select from (select unnest(event_ids) as id from audit_seal
                             where last_at >= $1 and first_at < $1 + interval ''1 month'') s
                where s.id = e.id)', part)
        into unsealed using month::timestamp at time zone 'UTC';
    end if;
    return unsealed;
end $$;

-- Drops a month whose time is over. 184 days is the law's: it stands here, and nowhere that a
-- statement could change it.
create or replace function audit_prune_month(parent text, month date) returns bigint
language plpgsql security definer
set search_path = public, pg_temp
set timezone = 'UTC'
set lock_timeout = '3s'
as $$
declare
    seen text := audit_see('on');
    first date := date_trunc('month', month);
    ends timestamptz := first + interval '1 month';
    kept interval := make_interval(days => greatest(184, audit_longest_retention()));
    part text := audit_partition_name(parent, first);
    gone bigint;
    seals bigint[];
begin
    if parent is null or parent not in ('audit_event', 'audit_payload') or month is null then
        raise exception 'nothing of % is pruned', parent using errcode = 'invalid_parameter_value';
    elsif ends > now() - kept then
        raise exception '% is younger than % days', part, extract(day from kept)
            using errcode = 'insufficient_privilege';
    end if;
    perform pg_advisory_xact_lock(1096107081);
    if to_regclass(part) is null then
        raise exception '% is not there', part using errcode = 'undefined_table';
    end if;
    lock table audit_legalhold in share mode;  -- no hold begins meanwhile
    if audit_hold_over(first) is not null then
        raise exception 'a legal hold keeps %: %', part, audit_hold_over(first)
            using errcode = 'AU001';
    end if;
    execute format('lock table %I in share mode', part);
    if audit_unsealed_of_month(first) > 0 then
        raise exception '% is not under seal: % events', part, audit_unsealed_of_month(first)
            using errcode = 'insufficient_privilege';
    end if;
    execute format('select count(*) from %I', part) into gone;
    select array[min(id), max(id)] into seals from audit_seal
    where last_at >= first and first_at < ends;
    execute format('drop table %I', part);
    insert into audit_prunedmonth ("table", month, rows, first_seal, last_seal, pruned_at)
    values (parent, first, gone, seals[1], seals[2], now());
    insert into audit_event (at, action, actor, route, model, upstream, success, error_code, detail)
    values (clock_timestamp(), 'audit:prune', 'system:retention', '', '', '', true, '',
            jsonb_build_object('table', parent, 'month', to_char(first, 'YYYY-MM'), 'rows', gone,
                               'first_seal', seals[1], 'last_seal', seals[2]));
    perform audit_see(seen);
    return gone;
end $$;

-- The triggers, on a table and on all of its partitions; those of rows spread by themselves.
create or replace function audit_guard_truncate(guarded regclass) returns void
language plpgsql as $$
begin
    execute format('create or replace trigger audit_no_truncate before truncate on %s
                    for each statement execute function audit_refuse_truncate()', guarded);
    execute format('alter table %s enable trigger audit_no_truncate', guarded);
end $$;

create or replace function audit_guard(guarded regclass) returns void
language plpgsql as $$
declare
    refuse text := case guarded when 'audit_payload'::regclass
                                then 'audit_refuse_text_change' else 'audit_refuse_change' end;
begin
    execute format('create or replace trigger audit_append_only before update or delete on %s
                    for each row execute function %I()', guarded, refuse);
    execute format('alter table %s enable trigger audit_append_only', guarded);
    perform audit_guard_truncate(part)
    from (select guarded as part union select relid from pg_partition_tree(guarded)) parts;
end $$;

select audit_guard(guarded) from unnest(array['audit_event', 'audit_payload', 'audit_seal',
    'audit_checkpoint', 'audit_tombstone', 'audit_prunedmonth']::regclass[]) guarded;
