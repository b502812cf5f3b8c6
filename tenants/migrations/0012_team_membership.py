import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tenants", "0011_ciphertext")]

    operations = [
        migrations.RenameModel("TeamPlace", "TeamMembership"),
        migrations.AlterField(
            "teammembership",
            "team",
            models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="memberships",
                to="tenants.team",
            ),
        ),
        migrations.AlterField(
            "teammembership",
            "member",
            models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="team_memberships",
                to="tenants.member",
            ),
        ),
    ]
