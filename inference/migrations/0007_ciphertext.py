from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("inference", "0006_pools")]

    operations = [
        migrations.RenameField("message", "sealed", "ciphertext"),
        migrations.RenameField("conversation", "sealed_title", "title_ciphertext"),
    ]
