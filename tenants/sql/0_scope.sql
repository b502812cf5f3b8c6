-- For whom a request's scope is open, as the policies ask it. A statement can set `forebay.tenant`
-- to anything; only the platform can prove that it did (infrastructure/postgres/scope.py): an HMAC-SHA-256 over tenant
-- and person, whose key is here, where the application's roles cannot read it.

-- The key's two pads, since PostgreSQL itself has SHA-256 but no HMAC (tenants/sql_installation.py).
create table if not exists tenants_scopekey (
    id smallint primary key check (id = 1),
    inner_pad bytea not null,
    outer_pad bytea not null
);

create or replace function tenants_scope_is_proven() returns boolean
language plpgsql stable security definer
set search_path = public, pg_temp
as $$
declare
    said bytea := convert_to(coalesce(current_setting('forebay.tenant', true), '') || '|'
        || coalesce(current_setting('forebay.user', true), ''), 'UTF8');
    key tenants_scopekey;
begin
    select * into key from tenants_scopekey;
    return current_setting('forebay.proof', true)
        = encode(sha256(key.outer_pad || sha256(key.inner_pad || said)), 'hex');
end $$;

create or replace function tenants_scope_tenant() returns uuid
language plpgsql stable
set search_path = public, pg_temp
as $$
begin
    if tenants_scope_is_proven() then
        return nullif(current_setting('forebay.tenant', true), '')::uuid;
    end if;
    return null;
end $$;

create or replace function tenants_scope_person() returns bigint
language plpgsql stable
set search_path = public, pg_temp
as $$
begin
    if tenants_scope_is_proven() then
        return nullif(current_setting('forebay.user', true), '')::bigint;
    end if;
    return null;
end $$;
