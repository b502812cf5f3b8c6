import uuid

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import inference.models.model_alias


class Migration(migrations.Migration):

    dependencies = [
        ('inference', '0042_stored_responses'),
        ('tenants', '0022_longer_units'),
    ]

    operations = [
        migrations.CreateModel(
            name='ModelAlias',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=120, validators=[inference.models.model_alias.is_alias])),
                ('model', models.CharField(max_length=120)),
                ('created_by', models.CharField(max_length=60)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('changed_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('tenant', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='model_aliases', to='tenants.tenant')),
            ],
        ),
        migrations.AddConstraint(
            model_name='modelalias',
            constraint=models.UniqueConstraint(models.F('tenant'), models.F('name'), name='inference_alias_name'),
        ),
    ]
