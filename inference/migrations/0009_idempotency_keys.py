import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('inference', '0008_fewer_indexes'),
        ('tenants', '0013_fewer_indexes'),
    ]

    operations = [
        migrations.CreateModel(
            name='IdempotencyKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('owner', models.UUIDField()),
                ('key', models.BinaryField()),
                ('body', models.BinaryField()),
                ('completion_id', models.UUIDField()),
                ('created_at', models.DateTimeField()),
                ('tenant', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant')),
            ],
            options={
                'indexes': [models.Index(fields=['created_at'], name='inference_idempotency_created')],
                'constraints': [models.UniqueConstraint(fields=('tenant', 'owner', 'key'), name='inference_idempotency_once')],
            },
        ),
    ]
