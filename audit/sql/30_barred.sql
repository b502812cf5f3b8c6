-- Whose keys nobody gets: who was erased, and whose data is restricted (audit/deletion.py).
create or replace function audit_barred(tenant uuid, subject uuid) returns boolean
language plpgsql stable as $$
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
