from django.db import migrations


class Migration(migrations.Migration):
    # The name alone: no row is touched, and partitions follow their table.
    dependencies = [("audit", "0006_retention_in_seals")]

    operations = [migrations.RenameField("payload", "sealed", "ciphertext")]
