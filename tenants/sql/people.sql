-- In the scope of a tenant or a person, a person changes their password and their name. Whoever could
-- change the rest would be an operator, or have invitations of somebody else.
create or replace function tenants_keep_person() returns trigger
language plpgsql
set search_path = public, pg_temp
as $$
declare
    theirs constant text[] := '{name,password,password_changed_at,last_login}';
begin
    if tenants_scope_person() is not null and to_jsonb(new) - theirs <> to_jsonb(old) - theirs then
        raise exception 'only the platform changes this of a person'
            using errcode = 'insufficient_privilege';
    end if;
    return new;
end $$;

create or replace trigger tenants_person_kept before update on tenants_user
for each row execute function tenants_keep_person();
