-- Events come under seal in the order of their transactions. One that names another than its own
-- could be passed over for ever, and nobody's month in which it lies could be dropped. The owner moves
-- rows between months as they are.
create or replace function audit_refuse_other_transaction() returns trigger language plpgsql as $$
begin
    if pg_has_role(current_user, (select relowner from pg_class where oid = tg_relid), 'USAGE') then
        return new;
    end if;
    raise exception 'an event belongs to the transaction that writes it'
        using errcode = 'insufficient_privilege';
end $$;

create or replace trigger audit_own_transaction before insert on audit_event
for each row when (new.xid <> pg_current_xact_id()::text::bigint)
execute function audit_refuse_other_transaction();
