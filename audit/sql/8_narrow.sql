-- What the scope of a tenant or a person needs of rows that it does not show: as little as it needs.

-- The hashes of a round's seals, in their order: a path to the checkpoint goes past other tenants'.
create or replace function audit_hashes_under(number bigint) returns setof bytea
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
    seen text := audit_see('on');
begin
    return query select hash from audit_seal where checkpoint = number order by position;
    perform audit_see(seen);
end $$;
