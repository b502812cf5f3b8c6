-- What no administrator, API or statement of the application can lower: the floor of 184 days.
-- The database says it once more, so that a mistake in Python cannot.

create or replace function audit_retention_floor(data_class text) returns integer
language sql immutable as $$
    select case when data_class = 'audit' then 184 else 1 end
$$;

create or replace function audit_keep_floor() returns trigger language plpgsql as $$
begin
    if new.days < audit_retention_floor(new.data_class) then
        raise exception 'retention of % is at least % days', new.data_class,
            audit_retention_floor(new.data_class) using errcode = 'check_violation';
    end if;
    return new;
end $$;

create or replace trigger audit_retention_floor before insert or update on audit_retentionrule
for each row execute function audit_keep_floor();

create or replace function audit_keep_tenant_floor() returns trigger language plpgsql as $$
begin
    if new.retention_days < audit_retention_floor('audit') then
        raise exception 'retention of the audit trail is at least % days',
            audit_retention_floor('audit') using errcode = 'check_violation';
    end if;
    return new;
end $$;

create or replace trigger tenants_retention_floor before insert or update of retention_days
on tenants_tenant for each row execute function audit_keep_tenant_floor();

-- How long a month stays: as the tenant that keeps it longest wants it, whoever asks (every
-- tenant's row is opened for this question alone). Tenants that are gone count with the default.
create or replace function audit_longest_retention() returns integer
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
    before text := coalesce(current_setting('forebay.system', true), '');
    days integer;
begin
    perform set_config('forebay.system', 'on', true);
    select max(retention_days) into days from tenants_tenant;
    perform set_config('forebay.system', before, true);
    return greatest(audit_retention_floor('audit'), 200, coalesce(days, 0));
end $$;

-- A hold over anything of a month stops the whole month. Which one, the first of them.
create or replace function audit_hold_over(month date) returns uuid language plpgsql as $$
declare
    seen text := audit_see('on');
    found uuid;
begin
    select h.id into found from audit_legalhold h
    where audit_hold_in_force(h)
      and coalesce(covers_from, '-infinity') < (month + interval '1 month') at time zone 'UTC'
      and coalesce(covers_until, 'infinity') > month::timestamp at time zone 'UTC'
    order by requested_at, id limit 1;
    perform audit_see(seen);
    return found;
end $$;

-- So long a hold waits for its second person, and keeps meanwhile what it covers.
create or replace function audit_hold_waits() returns interval
language sql immutable as $$ select interval '72 hours' $$;

-- One person alone could hold up everybody's months by placing a hold anew whenever the last one
-- has lapsed. So one like it that nobody approved counts for 30 days, and so does any other one of
-- the tenant that its placer has let lapse.
create or replace function audit_hold_was_tried(h audit_legalhold) returns boolean
language plpgsql as $$
declare
    seen text := audit_see('on');
    tried boolean := exists (
        select from audit_legalhold o
        where o.tenant_id = h.tenant_id and o.approved_at is null
          and o.requested_at > h.requested_at - interval '30 days'
          and (o.subject_id is not distinct from h.subject_id
               or o.requested_by = h.requested_by and o.waits_until <= h.requested_at));
begin
    perform audit_see(seen);
    return tried;
end $$;

-- A hold is kept as it was placed. It is approved, renewed (for a year at most) and released, each
-- by another person than the one who did the step before it.
create or replace function audit_keep_hold() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' then
        raise exception 'legal holds are kept' using errcode = 'insufficient_privilege';
    end if;
    if new.expires_at > coalesce(old.expires_at, new.requested_at) + interval '366 days' then
        raise exception 'a legal hold lasts a year at most' using errcode = 'check_violation';
    end if;
    if tg_op = 'INSERT' then
        new.waits_until := new.requested_at + audit_hold_waits();
        new.holds_meanwhile := not audit_hold_was_tried(new);
        return new;
    end if;
    if (new.id, new.tenant_id, new.subject_id, new.covers_from, new.covers_until, new.reason,
        new.requested_by, new.requested_at, new.waits_until, new.holds_meanwhile)
       is distinct from
       (old.id, old.tenant_id, old.subject_id, old.covers_from, old.covers_until, old.reason,
        old.requested_by, old.requested_at, old.waits_until, old.holds_meanwhile)
       or new.expires_at < old.expires_at
       or old.approved_at is not null and
          (new.approved_by, new.approved_at) is distinct from (old.approved_by, old.approved_at)
       or old.released_at is not null
    then
        raise exception 'a legal hold is kept as it was placed' using errcode = 'check_violation';
    end if;
    if new.expires_at > old.expires_at
       and new.renewed_by = coalesce(nullif(old.renewed_by, ''), old.requested_by) then
        raise exception 'another person renews a legal hold' using errcode = 'check_violation';
    end if;
    if new.released_at is not null and (new.release_asked_by, new.release_asked_at)
       is distinct from (old.release_asked_by, old.release_asked_at) then
        raise exception 'a release is asked for first' using errcode = 'check_violation';
    end if;
    return new;
end $$;

create or replace trigger audit_hold_kept before insert or update or delete on audit_legalhold
for each row execute function audit_keep_hold();

-- Of one tenant's events and texts; of one that is gone, the default.
create or replace function audit_retention_of(tenant uuid) returns integer
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
    before text := coalesce(current_setting('forebay.system', true), '');
    days integer;
begin
    perform set_config('forebay.system', 'on', true);
    select retention_days into days from tenants_tenant where id = tenant;
    perform set_config('forebay.system', before, true);
    return greatest(audit_retention_floor('audit'), coalesce(days, 200));
end $$;

-- Deletes texts of a tenant whose time is over while the month stays for others. Answers how many
-- went; there may be more. (That they may go, audit_refuse_text_change checks row by row.)
create or replace function audit_prune_texts(tenant uuid, most integer) returns bigint
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
    seen text := audit_see('on');
    pruned bigint;
begin
    perform pg_advisory_xact_lock_shared(hashtextextended('hold:' || tenant, 0));
    delete from audit_payload p using (
        select id, at from audit_payload
        where tenant_id = tenant
          and at < now() - make_interval(days => audit_retention_of(tenant))
          and not audit_text_on_hold(tenant_id, request_id, at)
        limit most) old
    where p.id = old.id and p.at = old.at;
    get diagnostics pruned = row_count;
    perform audit_see(seen);
    return pruned;
end $$;
