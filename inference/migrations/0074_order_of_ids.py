"""Lists of requests are in the order of their ids, which is that of time.

Django would drop and add the foreign key to keys too, and check every row for that.
"""

import django.db.models.deletion
from django.contrib.postgres.operations import RemoveIndexConcurrently
from django.db import migrations, models

import inference.request_id

DROP = """
    do $$ declare single regclass; begin
        for single in
            select i.indexrelid from pg_index i
            join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
            where i.indrelid = 'inference_completion'::regclass and i.indnatts = 1
              and a.attname = 'api_key_id'
        loop execute format('drop index %s', single); end loop;
    end $$"""
RESTORE = """
    create index if not exists inference_completion_api_key_id on inference_completion (api_key_id)"""


class Migration(migrations.Migration):
    atomic = False  # indexes go while requests come in

    dependencies = [
        ('inference', '0001_squashed_0073_proposed_changes_of_actions'),
    ]

    operations = [
        RemoveIndexConcurrently(model_name='completion', name='completion_created'),
        RemoveIndexConcurrently(model_name='completion', name='completion_tenant_created'),
        migrations.SeparateDatabaseAndState(
            [migrations.RunSQL(DROP, RESTORE)],
            [
                migrations.AlterField(
                    model_name='completion',
                    name='api_key',
                    field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='tenants.apikey'),
                ),
                migrations.AlterField(
                    model_name='completion',
                    name='id',
                    field=models.UUIDField(default=inference.request_id.new, editable=False, primary_key=True, serialize=False),
                ),
            ],
        ),
    ]
