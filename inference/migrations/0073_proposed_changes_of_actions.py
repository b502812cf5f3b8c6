import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("inference", "0069_conversation_sharing")]

    operations = [
        migrations.AddField(
            model_name="webhookaction",
            name="proposal",
            field=models.JSONField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="webhookaction",
            name="proposal_authors",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=80),
                blank=True,
                db_default=[],
                default=list,
                size=None,
            ),
        ),
        migrations.AddField(
            model_name="webhookaction",
            name="proposed_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
