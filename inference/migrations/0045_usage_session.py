from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('inference', '0044_model_alias'),
    ]

    operations = [
        migrations.AddField(
            model_name='usage',
            name='session',
            field=models.UUIDField(null=True),
        ),
        migrations.AddIndex(
            model_name='usage',
            index=models.Index(models.F('tenant'), models.F('created_at'), models.F('session'), condition=models.Q(('session__isnull', False)), name='usage_of_session'),
        ),
    ]
