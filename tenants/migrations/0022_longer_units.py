from django.db import migrations, models
from tenants.migrations._caller_triggers import without_trigger


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0021_gpu_seconds'),
    ]

    operations = [
        *without_trigger(
            migrations.AlterField(
                model_name='quota',
                name='unit',
                field=models.CharField(choices=[('requests', 'Requests'), ('tokens', 'Tokens'), ('cost', 'Cost'), ('gpu_seconds', 'GPU-seconds')], max_length=12, verbose_name='unit'),
            ),
        ),
    ]
