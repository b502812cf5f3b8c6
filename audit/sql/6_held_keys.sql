-- A destroyed key destroys everything that it has encrypted. So none goes while a legal hold is in force
-- over its person or over the whole tenant, whatever time the hold covers; a tenant's own key not
-- while anybody of the tenant is held.
create or replace function audit_keep_held_key() returns trigger
language plpgsql
set search_path = public, pg_temp
as $$
declare
    seen text := audit_see('on');
begin
    perform pg_advisory_xact_lock_shared(hashtextextended('hold:' || old.tenant_id, 0));
    if exists (
        select from audit_legalhold h
        where h.tenant_id = old.tenant_id and audit_hold_in_force(h)
          and (h.subject_id is null or old.subject_id is null or h.subject_id = old.subject_id)
    ) then
        raise exception 'a legal hold keeps this key' using errcode = 'AU001';
    end if;
    perform audit_see(seen);
    return old;
end $$;

create or replace trigger audit_held_key before delete on audit_datakey
for each row execute function audit_keep_held_key();
