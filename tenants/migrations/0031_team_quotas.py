import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0030_invited_team'),
    ]

    operations = [
        migrations.AddField(
            model_name='ledgerentry',
            name='team_id',
            field=models.UUIDField(null=True),
        ),
        migrations.AddField(
            model_name='quota',
            name='team',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='quotas', to='tenants.team'),
        ),
        migrations.RemoveConstraint(
            model_name='quota',
            name='tenants_quota_once',
        ),
        migrations.RemoveConstraint(
            model_name='quota',
            name='tenants_quota_one_scope',
        ),
        migrations.AddConstraint(
            model_name='quota',
            constraint=models.UniqueConstraint(models.F('tenant'), models.F('api_key'), models.F('member'), models.F('team'), models.F('model'), models.F('unit'), models.F('window'), name='tenants_quota_once', nulls_distinct=False),
        ),
        migrations.AddConstraint(
            model_name='quota',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('api_key', None), ('member', None), ('team', None)), models.Q(('api_key', None), ('model', ''), ('team', None)), models.Q(('member', None), ('model', ''), ('team', None)), models.Q(('api_key', None), ('member', None), ('model', '')), _connector='OR'), name='tenants_quota_one_scope'),
        ),
    ]
