
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('inference', '0022_batches'),
    ]

    operations = [
        migrations.AddField(
            model_name='batchline',
            name='model',
            field=models.CharField(default='', max_length=120),
        ),
        migrations.AddField(
            model_name='pool',
            name='window',
            field=models.JSONField(blank=True, default=dict),
        ),
    ]
