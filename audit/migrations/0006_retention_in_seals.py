from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("audit", "0005_general_checks")]

    operations = [
        migrations.AddField(
            model_name="seal",
            name="retention_days",
            field=models.IntegerField(null=True),
        ),
    ]
