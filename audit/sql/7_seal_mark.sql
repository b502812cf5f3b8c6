-- The sealer's mark only grows: set back, or gone, it would have what is under seal come under seal
-- again, for ever in two minds. Where the count of transactions began anew (a restore from a dump)
-- a restart is added, and it grows from there (audit/checks/resume_after_restore.py).
create or replace function audit_keep_mark() returns trigger language plpgsql as $$
declare
    known integer := cardinality(old.restarts);
    added integer := cardinality(new.restarts) - known;
begin
    if tg_op = 'DELETE' then
        raise exception 'the sealer''s mark is kept' using errcode = 'insufficient_privilege';
    elsif new.id <> 1 then
        raise exception 'the sealer has one mark' using errcode = 'check_violation';
    elsif tg_op = 'UPDATE' and (
        old.restarts is distinct from new.restarts[:known]
        or added = 0 and ((new.xid, new.event_id) < (old.xid, old.event_id)
                          or old.set_back and not new.set_back)
    ) then
        raise exception 'the sealer''s mark only grows' using errcode = 'check_violation';
    elsif added > 0 and new.restarts[known + 1] > pg_sequence_last_value('audit_event_seq') then
        raise exception 'events have a higher id than the sequence gives: the restore lacks it'
            using errcode = 'check_violation';
    end if;
    return new;
end $$;

create or replace trigger audit_mark_kept before insert or update or delete on audit_sealmark
for each row execute function audit_keep_mark();

select audit_guard_truncate('audit_sealmark'::regclass);
