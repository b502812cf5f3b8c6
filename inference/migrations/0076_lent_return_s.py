"""The seconds within which the job on a lent engine gives it back, as promised when it was lent."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ('inference', '0075_requests_without_tenant_key'),
    ]

    operations = [
        migrations.AddField(
            model_name='engine',
            name='lent_return_s',
            field=models.PositiveSmallIntegerField(editable=False, null=True),
        ),
    ]
