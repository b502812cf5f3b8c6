-- An act that a person did with their own account, on the platform's record: they belong to no
-- tenant. Nobody's but the person's whose scope is open.
create or replace function tenants_record_own_act(
    action text, actor text, success boolean, client_net inet, detail jsonb,
    out id bigint, out at timestamptz)
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
    person text := tenants_scope_person()::text;
    seen text := audit_see('on');
begin
    if person is null or actor not in ('user:' || person, 'operator:' || person) then
        raise exception 'an act of somebody else' using errcode = 'insufficient_privilege';
    end if;
    insert into audit_event as e (at, action, actor, route, model, upstream, success, error_code,
                                  client_net, detail)
    values (clock_timestamp(), action, actor, '', '', '', success, '', client_net, detail)
    returning e.id, e.at into id, at;
    perform audit_see(seen);
end $$;
