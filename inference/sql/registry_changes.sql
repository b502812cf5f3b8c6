-- Notifies every process, when a change commits, that models, pools, engines or adapters have changed
-- (inference/registry/following.py).
create or replace function inference_tell_registry_changes() returns trigger
language plpgsql as $$
begin
    perform pg_notify('forebay_registry', '');
    return null;
end $$;

do $$
declare
    name text;
begin
    foreach name in array array['inference_model', 'inference_pool', 'inference_engine',
                                'inference_adapter', 'inference_adapterpromotion',
                                'inference_modelalias'] loop
        execute format(
            'create or replace trigger inference_registry_changes
             after insert or update or delete or truncate on %I
             for each statement execute function inference_tell_registry_changes()', name);
    end loop;
end $$;

-- An import writes its row every few seconds: only states matter.
create or replace trigger inference_registry_changes
after update of state or delete on inference_modelversion
for each statement execute function inference_tell_registry_changes();
