"""Of the trigger that tells web processes of changed quotas (tenants/sql/caller_changes.sql).

PostgreSQL alters no type of a column that a trigger names. The trigger goes and comes back in one
transaction: old processes, which go on meanwhile, miss no change.
"""

from django.db import migrations

_TRIGGER = "tgrelid = 'tenants_quota'::regclass and tgname = 'tenants_caller_changes'"
_SET_ASIDE = f"""
    select set_config('forebay.trigger', coalesce((
        select pg_get_triggerdef(oid) from pg_trigger where {_TRIGGER}), ''), true);
    drop trigger if exists tenants_caller_changes on tenants_quota"""
_BRING_BACK = """
    do $$ begin
        if current_setting('forebay.trigger') <> '' then
            execute current_setting('forebay.trigger');
        end if;
    end $$"""


def without_trigger(*operations):
    """Returns the operations on quotas, and what makes room for them before and after."""
    return [
        migrations.RunSQL(_SET_ASIDE, _BRING_BACK),
        *operations,
        migrations.RunSQL(_BRING_BACK, _SET_ASIDE),
    ]
