import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('inference', '0049_fallback_reasons'),
    ]

    operations = [
        migrations.AddField(
            model_name='assistant',
            name='challenged_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='dialogue',
            name='answered_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='dialogue',
            name='handed_over_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='dialogue',
            name='intents',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=80), blank=True, db_default=[], default=list, size=None),
        ),
        migrations.AddIndex(
            model_name='dialogue',
            index=models.Index(fields=['tenant', '-created_at'], name='dialogue_tenant_created'),
        ),
    ]
