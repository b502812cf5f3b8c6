-- Notifies web processes, when a change commits, of the tenant whose prompt templates or decision
-- policies it changed, on the channel for changed callers (tenants/authentication/invalidation.py,
-- inference/intake/prompt_templates.py, inference/decisions/serving.py).
create or replace function inference_tell_template_changes() returns trigger
language plpgsql as $$
begin
    if tg_level = 'STATEMENT' then
        perform pg_notify('forebay_callers', '');
    elsif tg_op = 'INSERT' then
        perform pg_notify('forebay_callers', new.tenant_id::text);
    else
        perform pg_notify('forebay_callers', old.tenant_id::text);
    end if;
    return null;
end $$;

do $$
declare
    name text;
begin
    foreach name in array array['inference_prompttemplate', 'inference_decisionpolicy'] loop
        execute format(
            'create or replace trigger inference_template_rows
             after insert or update or delete on %I
             for each row execute function inference_tell_template_changes()', name);
        execute format(
            'create or replace trigger inference_template_truncate
             after truncate on %I
             for each statement execute function inference_tell_template_changes()', name);
    end loop;
end $$;
