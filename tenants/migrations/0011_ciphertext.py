from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("tenants", "0010_key_holders")]

    operations = [migrations.RenameField("idempotentrequest", "sealed", "ciphertext")]
