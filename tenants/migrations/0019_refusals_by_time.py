from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # the new index is made while requests go on

    dependencies = [
        ('tenants', '0018_price_ended'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='refusal',
            index=models.Index(fields=['-last_at', '-id'], name='tenants_refusal_newest'),
        ),
    ]
