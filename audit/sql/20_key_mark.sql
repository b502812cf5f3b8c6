-- Counts the transactions that destroyed or replaced keys: each process looks at the count and drops
-- what is no longer there from its memory (audit/keys/key_cache.py). At commit, so that nobody waits for
-- the row longer than that takes.
-- As the owner: a request that could set the count back would have keys outlive their destruction in
-- the memory of other processes.
create or replace function audit_keys_changed() returns trigger
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
    insert into audit_keymark (id, generation, xid)
    values (1, 1, pg_current_xact_id()::text::bigint)
    on conflict (id) do update
        set generation = audit_keymark.generation + 1, xid = excluded.xid
        where audit_keymark.xid <> excluded.xid;
    return null;
end $$;

do $$
begin
    if not exists (select from pg_trigger where tgname = 'audit_keys_destroyed') then
        create constraint trigger audit_keys_destroyed after delete on audit_datakey
            deferrable initially deferred for each row execute function audit_keys_changed();
    end if;
    if not exists (select from pg_trigger where tgname = 'audit_keys_replaced') then
        create constraint trigger audit_keys_replaced after insert on audit_datakey
            deferrable initially deferred for each row when (new.version > 1)
            execute function audit_keys_changed();
    end if;
end $$;
