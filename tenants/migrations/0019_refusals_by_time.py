from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # the new index is made while requests go on

    dependencies = [
        ('tenants', '0018_price_ended'),
    ]

    operations = [
        # One that was cut off leaves an index that is no good, in the way of the next try.
        migrations.RunSQL(
            'drop index concurrently if exists tenants_refusal_newest', migrations.RunSQL.noop
        ),
        AddIndexConcurrently(
            model_name='refusal',
            index=models.Index(fields=['-last_at', '-id'], name='tenants_refusal_newest'),
        ),
    ]
