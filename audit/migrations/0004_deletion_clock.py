from django.db import migrations, models

# Members could ask for themselves only, unless they decided in one.
AS_THEY_WERE = """
    update audit_deletionrequest set by_subject = true
    where approved_at is null and requested_by like 'member:%';
    update audit_deletionrequest set held_at = now() where state = 'held'"""


class Migration(migrations.Migration):
    dependencies = [("audit", "0003_restores_and_two_people")]

    operations = [
        migrations.AddField(
            model_name="deletionrequest",
            name="by_subject",
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name="deletionrequest",
            name="held_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.RemoveConstraint(
            model_name="deletionrequest",
            name="audit_deletion_one_open",
        ),
        migrations.AddConstraint(
            model_name="deletionrequest",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ("done", "refused")), _negated=True),
                fields=("tenant_id", "subject_id", "mode"),
                name="audit_deletion_one_open",
            ),
        ),
        migrations.RunSQL(AS_THEY_WERE, migrations.RunSQL.noop),
    ]
