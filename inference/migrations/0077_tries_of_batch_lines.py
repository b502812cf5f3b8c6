"""The tries of a batch's line before its last one, which are billed as well."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('inference', '0076_lent_return_s'),
    ]

    operations = [
        migrations.AddField(
            model_name='batchline',
            name='earlier',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), db_default=[], default=list, size=None),
        ),
    ]
