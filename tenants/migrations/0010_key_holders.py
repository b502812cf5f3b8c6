import django.contrib.postgres.fields
from django.db import migrations, models

# A key that was rotated by somebody else has its maker here too, and that person among its
# grantors: both are asked.
MAKERS = """
    update tenants_apikey set holders = array['member:' || created_by_id]
    where created_by_id is not null"""


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0009_readers"),
    ]

    operations = [
        migrations.AddField(
            model_name="apikey",
            name="holders",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=80),
                blank=True,
                default=list,
                editable=False,
                size=None,
            ),
        ),
        migrations.RunSQL(MAKERS, migrations.RunSQL.noop),
    ]
