-- Stores people with the first keys of their texts: in one statement for all that a process sees for the
-- first time at a moment (tenants/models/people/newcomer.py). A row has no answer if its person is known already, or if the
-- key that wraps the new one is not the tenant's newest: each statement of a function sees what was
-- committed before it, and the lock lets nobody replace a tenant's key in between.
create or replace function tenants_store_people(rows jsonb)
returns table (person uuid, stored jsonb)
language plpgsql rows 10 as $$
begin
    perform pg_advisory_xact_lock_shared(t.key_lock)
    from (select distinct r.key_lock from jsonb_to_recordset(rows) r(key_lock bigint) order by 1) t;

    return query
    with fresh as materialized (
        select x.* from jsonb_to_recordset(rows) as x(
            id uuid, at timestamptz, tenant_id uuid, digest text, key_id uuid, wrapped text,
            wrapped_by uuid)
        where x.wrapped_by = (
            select k.id from audit_datakey k
            where k.tenant_id = x.tenant_id and k.subject_id is null
            order by k.version desc limit 1)),
    people as (
        insert into tenants_person (id, tenant_id, digest, created_at)
        select f.id, f.tenant_id, decode(f.digest, 'hex'), f.at from fresh f
        order by f.tenant_id, f.digest  -- in one order, so that two groups cannot deadlock
        on conflict do nothing returning id),
    keys as (
        insert into audit_datakey
            (id, tenant_id, subject_id, version, wrapped_by, wrapped, created_at)
        select f.key_id, f.tenant_id, f.id, 1, f.wrapped_by, decode(f.wrapped, 'hex'), f.at
        from people p join fresh f on f.id = p.id)
    select p.id, 'true'::jsonb from people p;
end $$;
