-- Returns whether an attempt of a request may have left this installation
-- (inference/worker/failover.py). It is a function because one settlement in a thousand needs it:
-- in their statement, PostgreSQL would open each partition of the trail for every group.
create or replace function inference_has_left(asked uuid) returns boolean
language sql stable as $$
    select exists (select from audit_event e
                   where e.request_id = asked and e.action = 'completion:left')
$$;
