-- Whose key has this digest: the management API asks it before any scope is open. Who does not have
-- the key cannot name its digest, which is keyed (tenants/secret_keys.py).
create or replace function tenants_tenant_of_key(wanted bytea) returns uuid
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
    seen text := audit_see('on');
    found uuid := (select tenant_id from tenants_apikey where digest = wanted);
begin
    perform audit_see(seen);
    return found;
end $$;

-- The operators' key that has this digest, before any scope is open, as above.
create or replace function tenants_operator_key(wanted bytea) returns uuid
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
    seen text := audit_see('on');
    found uuid := (select id from tenants_operatorkey where digest = wanted);
begin
    perform audit_see(seen);
    return found;
end $$;
