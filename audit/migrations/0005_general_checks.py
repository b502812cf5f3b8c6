from django.db import migrations, models

# Which checks of the platform as such every tenant may see the results of, as of this version.
MARKED = """
    update audit_checkrun set general = true
    where tenant_id is null and name in ('append_only', 'browsers', 'data_map', 'hops', 'input',
        'protections', 'recipients', 'role_matrix', 'row_security', 'sessions', 'unsealed',
        'verified', 'witnesses')"""


class Migration(migrations.Migration):
    dependencies = [("audit", "0004_deletion_clock")]

    operations = [
        migrations.AddField(
            model_name="checkrun",
            name="general",
            field=models.BooleanField(default=False),
        ),
        migrations.RunSQL(MARKED, migrations.RunSQL.noop),
    ]
