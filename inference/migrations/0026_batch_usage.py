from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('inference', '0025_uploads_in_parts'),
    ]

    operations = [
        migrations.AddField(
            model_name='batch',
            name='model',
            field=models.CharField(db_default='', max_length=120),
        ),
        migrations.AddField(
            model_name='batch',
            name='usage',
            field=models.JSONField(null=True),
        ),
    ]
