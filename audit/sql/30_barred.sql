-- Whose keys nobody gets: who was erased, and whose data is restricted (audit/erasure/deletion.py).
create or replace function audit_barred(tenant uuid, subject uuid) returns boolean
language plpgsql stable security definer
set search_path = public, pg_temp
as $$
declare
    seen text := audit_see('on');
    barred boolean := exists (
        select from audit_tombstone t where t.tenant_id = tenant and t.subject_id = subject)
        or exists (select from audit_deletionrequest d
                   where d.tenant_id = tenant and d.subject_id = subject
                     and d.mode = 'restrict' and d.started_at is not null
                     and d.state not in ('done', 'refused'));
begin
    perform audit_see(seen);
    return barred;
end $$;

-- Of these keys, those that still open something, and whether each is its subject's newest one: what
-- a process compares those in its memory with, whoever's they are.
create or replace function audit_keys_standing(ids uuid[])
returns table (id uuid, newest boolean)
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
    seen text := audit_see('on');
begin
    return query
        select key.id, key.subject_id is not null and not exists (
            select from audit_datakey newer where newer.tenant_id = key.tenant_id
                and newer.subject_id = key.subject_id and newer.version > key.version)
        from audit_datakey key where key.id = any(ids)
            and (key.subject_id is null or not audit_barred(key.tenant_id, key.subject_id));
    perform audit_see(seen);
end $$;

-- Every process hears of it as it hears of destroyed keys.
do $$
begin
    if not exists (select from pg_trigger where tgname = 'audit_subject_restricted') then
        create constraint trigger audit_subject_restricted after update on audit_deletionrequest
            deferrable initially deferred for each row
            when (new.mode = 'restrict' and new.started_at is distinct from old.started_at)
            execute function audit_keys_changed();
    end if;
end $$;
