"""The ledger's index on the tenant alone: another begins with it.

Django would drop and add the foreign key too, and check every row for that.
"""

import django.db.models.deletion
from django.db import migrations, models

DROP = """
    do $$ declare found regclass; begin
        for found in
            select i.indexrelid from pg_index i
            join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
            where i.indrelid = 'tenants_ledgerentry'::regclass and i.indnatts = 1
              and not i.indisunique and i.indpred is null and a.attname = 'tenant_id'
        loop execute format('drop index %s', found); end loop;
    end $$"""
RESTORE = "create index if not exists tenants_ledgerentry_tenant_id on tenants_ledgerentry (tenant_id)"


class Migration(migrations.Migration):
    dependencies = [
        ('tenants', '0012_team_membership'),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            [migrations.RunSQL(DROP, RESTORE)],
            [
                migrations.AlterField(
                    model_name='ledgerentry',
                    name='tenant',
                    field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='ledger', to='tenants.tenant'),
                ),
            ],
        ),
    ]
