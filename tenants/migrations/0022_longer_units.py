from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0021_gpu_seconds'),
    ]

    operations = [
        migrations.AlterField(
            model_name='quota',
            name='unit',
            field=models.CharField(choices=[('requests', 'Requests'), ('tokens', 'Tokens'), ('cost', 'Cost'), ('gpu_seconds', 'GPU-seconds')], max_length=12, verbose_name='unit'),
        ),
    ]
