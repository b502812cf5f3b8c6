from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("inference", "0020_preemptions")]

    operations = [
        migrations.AddField(
            model_name="completion", name="lowered_at", field=models.DateTimeField(null=True)
        ),
        migrations.AddIndex(
            model_name="completion",
            index=models.Index(
                "lowered_at",
                condition=models.Q(("lowered_at__isnull", False), ("state", "open")),
                name="completion_lowered",
            ),
        ),
    ]
