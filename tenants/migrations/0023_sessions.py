import django.db.models.deletion
from django.db import migrations, models
from tenants.migrations._caller_triggers import without_trigger


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0022_longer_units'),
    ]

    operations = [
        *without_trigger(
            migrations.AlterField(
                model_name='quota',
                name='window',
                field=models.CharField(choices=[('day', 'Day'), ('month', 'Month'), ('session', 'Session')], max_length=10, verbose_name='window'),
            ),
        ),
        migrations.AddField(
            model_name='ledgerentry',
            name='session',
            field=models.UUIDField(null=True),
        ),
        migrations.AddField(
            model_name='quotacounter',
            name='session',
            field=models.UUIDField(null=True),
        ),
        migrations.AlterField(
            model_name='quotacounter',
            name='quota',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='counters', to='tenants.quota'),
        ),
        migrations.AddIndex(
            model_name='ledgerentry',
            index=models.Index(models.F('tenant'), models.F('session'), condition=models.Q(('session__isnull', False)), name='tenants_ledger_session'),
        ),
        migrations.AddConstraint(
            model_name='quotacounter',
            constraint=models.UniqueConstraint(fields=('quota', 'session', 'starts'), name='tenants_counter_of_window', nulls_distinct=False),
        ),
        migrations.RemoveConstraint(
            model_name='quotacounter',
            name='tenants_counter_once',
        ),
    ]
