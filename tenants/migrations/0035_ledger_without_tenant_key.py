"""Entries without a foreign key to their tenant, which is never deleted while it has some."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ('tenants', '0001_squashed_0034_key_schedules'),
    ]

    operations = [
        migrations.AlterField(
            model_name='ledgerentry',
            name='tenant',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='ledger', to='tenants.tenant'),
        ),
    ]
