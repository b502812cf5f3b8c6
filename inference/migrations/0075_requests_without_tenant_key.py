"""Requests without a foreign key to their tenant, which is never deleted while it has some."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ('inference', '0074_order_of_ids'),
    ]

    operations = [
        migrations.AlterField(
            model_name='completion',
            name='tenant',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='completions', to='tenants.tenant'),
        ),
    ]
