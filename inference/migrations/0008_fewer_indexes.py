"""Indexes that others begin with, and a foreign key that another one holds (see the models).

Django would drop and add foreign keys that stay, and check every row for that.
"""

import django.db.models.deletion
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

DROP = """
    do $$ declare found record; begin
        for found in
            select i.indexrelid::regclass as index from pg_index i
            join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
            where (i.indrelid::regclass::text, a.attname) in (
                      ('inference_completion', 'tenant_id'), ('inference_completion', 'member_id'),
                      ('inference_usage', 'tenant_id'))
              and i.indnatts = 1 and not i.indisunique and i.indpred is null
        loop execute format('drop index %s', found.index); end loop;
        for found in
            select c.conname from pg_constraint c
            join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
            where c.conrelid = 'inference_usage'::regclass and c.contype = 'f'
              and cardinality(c.conkey) = 1 and a.attname = 'tenant_id'
        loop execute format('alter table inference_usage drop constraint %I', found.conname); end loop;
    end $$"""
RESTORE = """
    create index if not exists inference_completion_tenant_id on inference_completion (tenant_id);
    create index if not exists inference_completion_member_id on inference_completion (member_id);
    create index if not exists inference_usage_tenant_id on inference_usage (tenant_id);
    alter table inference_usage add constraint inference_usage_tenant_id_fk foreign key (tenant_id)
        references tenants_tenant (id) deferrable initially deferred"""


class Migration(migrations.Migration):
    atomic = False  # the new index is made while requests go on

    dependencies = [
        ('inference', '0007_ciphertext'),
        ('tenants', '0013_fewer_indexes'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='completion',
            index=models.Index(models.F('member'), condition=models.Q(('member__isnull', False)), name='completion_of_member'),
        ),
        migrations.SeparateDatabaseAndState(
            [migrations.RunSQL(DROP, RESTORE)],
            [
                migrations.AlterField(
                    model_name='completion',
                    name='member',
                    field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='tenants.member'),
                ),
                migrations.AlterField(
                    model_name='completion',
                    name='tenant',
                    field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='completions', to='tenants.tenant'),
                ),
                migrations.AlterField(
                    model_name='usage',
                    name='tenant',
                    field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='usage', to='tenants.tenant'),
                ),
            ],
        ),
    ]
