-- Everything of this database that the application or the administrator has made goes to
-- forebay_owner; run by audit/trail/database_owner.py, which says in forebay.role who the application is.
do $$
declare
    role constant regrole := quote_ident(current_setting('forebay.role'))::regrole;
    makers constant oid[] := array[role::oid, current_user::regrole::oid];
    here constant regnamespace := current_schema()::regnamespace;
    statement text;
begin
    if to_regrole('forebay_owner') is null then
        create role forebay_owner nologin;
    end if;
    if to_regrole('forebay_system') is null then
        create role forebay_system nologin;
    end if;
    if not pg_has_role(role, 'forebay_system', 'USAGE') then
        execute format('grant forebay_system to %s', role);
    end if;
    for statement in
        select format('database %I', datname) from pg_database
        where datname = current_database() and datdba <> to_regrole('forebay_owner')
        union all
        select format('schema %s', here) from pg_namespace
        where oid = here and nspowner = any(makers)
        union all
        select format('%s %s', case relkind when 'S' then 'sequence' when 'v' then 'view'
                                            else 'table' end, c.oid::regclass)
        from pg_class c
        where relnamespace = here and relkind in ('r', 'p', 'v', 'S') and relowner = any(makers)
          and not exists (select from pg_depend d where d.objid = c.oid
                          and d.classid = 'pg_class'::regclass
                          and (d.deptype = 'e' or relkind = 'S' and d.deptype in ('a', 'i')))
        union all
        select format('routine %s', p.oid::regprocedure) from pg_proc p
        where pronamespace = here and proowner = any(makers)
          and not exists (select from pg_depend d where d.objid = p.oid
                          and d.classid = 'pg_proc'::regclass and d.deptype = 'e')
    loop
        execute format('alter %s owner to forebay_owner', statement);
    end loop;
    execute format('grant connect, temporary on database %I to %s', current_database(), role);
    execute format('revoke create on database %I from %s, public', current_database(), role);
    execute format('revoke temporary on database %I from public', current_database());
    execute format('revoke create on schema %s from %s, public', here, role);
    execute format('grant usage on schema %s to %s', here, role);
    execute format('grant usage on all sequences in schema %s to %s', here, role);
    for statement in
        select p.oid::regprocedure from pg_proc p
        where pronamespace = here and prosecdef and proowner = to_regrole('forebay_owner')
    loop
        execute format('revoke execute on function %s from public', statement);
        execute format('grant execute on function %s to %s', statement, role);
    end loop;
end $$;
