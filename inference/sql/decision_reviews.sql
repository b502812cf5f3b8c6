-- Gives each decision that asks for a person its review and its explanation, in the commit that
-- records it (inference/models/decisions/review.py, explanation.py).
create or replace function inference_open_review() returns trigger
language plpgsql as $$
begin
    insert into inference_review
        (id, tenant_id, decision_id, cause, state, needs_second, claimed_by, outcome, decided_by,
         confirmed_by, created_at)
    values (gen_random_uuid(), new.tenant_id, new.id, 'outcome', 'open', false, '', '', '', '',
            new.created_at)
    on conflict do nothing;
    insert into inference_decisionexplanation (decision_id, tenant_id, state, problem, due_at)
    values (new.id, new.tenant_id, 'making', '', now())
    on conflict do nothing;
    return null;
end $$;

create or replace trigger inference_decision_review
    after insert on inference_decision
    for each row when (new.outcome = 'review') execute function inference_open_review();
