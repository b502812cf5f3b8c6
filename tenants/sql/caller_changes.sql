-- Tells the web processes whose callers may have changed, as the change commits: the tenant's id, or
-- '' for everybody's (tenants/authentication/invalidation.py). Every table that authentication reads is
-- here; tests/tenants/authentication/test_invalidation.py compares them, column by column.

-- As earlier versions called it, with its triggers.
drop function if exists tenants_tell_doors() cascade;

-- `named_by`: the column that names the tenant. What cannot be found, or seen, is everybody's.
create or replace function tenants_whose(changed jsonb, named_by text) returns text
language sql stable as $$
    select coalesce(
        case named_by when 'content_object_id' then (
            select r.tenant_id::text from tenants_restrictedmodel r
            where r.id = (changed ->> named_by)::bigint)
        else changed ->> named_by end, '')
$$;

create or replace function tenants_tell_caller_changes() returns trigger language plpgsql as $$
begin
    if tg_level = 'STATEMENT' or tg_nargs = 0 then
        perform pg_notify('forebay_callers', '');
        return null;
    end if;
    if tg_op <> 'INSERT' then
        perform pg_notify('forebay_callers', tenants_whose(to_jsonb(old), tg_argv[0]));
    end if;
    if tg_op <> 'DELETE' then
        perform pg_notify('forebay_callers', tenants_whose(to_jsonb(new), tg_argv[0]));
    end if;
    return null;
end $$;

-- A key's use is written all the time, and of people only one thing matters here.
do $$
declare
    told record;
    read text[];
begin
    for told in select * from (values
        ('tenants_tenant', 'id', null, 'insert or delete'),
        ('tenants_tierpolicy', '', null, 'insert or delete'),
        ('tenants_apikey', 'tenant_id', null, 'insert or delete'),
        ('tenants_cacherule', 'tenant_id', null, 'insert or delete'),
        ('tenants_member', 'tenant_id', null, 'insert or delete'),
        ('tenants_user', '', '{id,is_active}'::text[], 'delete'),
        ('tenants_team', 'tenant_id', null, 'insert or delete'),
        ('tenants_teammembership', 'tenant_id', null, 'insert or delete'),
        ('tenants_quota', 'tenant_id', null, 'insert or delete'),
        ('tenants_restrictedmodel', 'tenant_id', null, 'insert or delete'),
        ('tenants_restrictedmodelgroupobjectpermission', 'content_object_id', null,
         'insert or delete'),
        ('audit_deletionrequest', 'tenant_id', null, 'insert or delete')
    ) t (name, tenant, columns, rows)
    loop
        select array_agg(attname::text order by attnum) into read from pg_attribute
        where attrelid = told.name::regclass and attnum > 0 and not attisdropped
          and case when told.columns is null then attname <> 'last_used_at'
                   else attname = any(told.columns) end;
        execute format(
            'create or replace trigger tenants_caller_rows after %s on %I
             for each row execute function tenants_tell_caller_changes(%s)',
            told.rows, told.name, quote_literal(nullif(told.tenant, '')));
        execute format(
            'create or replace trigger tenants_caller_changes after update of %s on %I
             for each row when ((%s) is distinct from (%s))
             execute function tenants_tell_caller_changes(%s)',
            (select string_agg(quote_ident(c), ', ') from unnest(read) c), told.name,
            (select string_agg('old.' || quote_ident(c), ', ') from unnest(read) c),
            (select string_agg('new.' || quote_ident(c), ', ') from unnest(read) c),
            quote_literal(nullif(told.tenant, '')));
        execute format(
            'create or replace trigger tenants_caller_truncate after truncate on %I
             for each statement execute function tenants_tell_caller_changes()', told.name);
    end loop;
end $$;
