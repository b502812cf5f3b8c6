import audit.models.xid
import datetime
import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
import uuid
from audit.migrations._partitioning import partition
from django.db import migrations, models
from infrastructure.postgres.model_creation import CreateModels


class Migration(migrations.Migration):

    replaces = [
        ('audit', '0001_initial'),
        ('audit', '0002_proof'),
        ('audit', '0003_restores_and_two_people'),
        ('audit', '0004_deletion_clock'),
        ('audit', '0005_general_checks'),
        ('audit', '0006_retention_in_seals'),
        ('audit', '0007_payload_ciphertext'),
        ('audit', '0008_fewer_indexes'),
    ]

    initial = True

    dependencies = [
    ]

    operations = [
        CreateModels([
            migrations.CreateModel(
                name='Checkpoint',
                fields=[
                    ('n', models.BigIntegerField(primary_key=True, serialize=False)),
                    ('size', models.BigIntegerField()),
                    ('root', models.BinaryField()),
                    ('previous', models.BinaryField()),
                    ('at', models.DateTimeField()),
                    ('key_id', models.CharField(max_length=32)),
                    ('signature', models.BinaryField()),
                ],
                options={
                    'ordering': ['n'],
                },
            ),
            migrations.CreateModel(
                name='CheckRun',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('name', models.CharField(max_length=80)),
                    ('tenant_id', models.UUIDField(null=True)),
                    ('at', models.DateTimeField()),
                    ('ok', models.BooleanField()),
                    ('figures', models.JSONField(default=dict)),
                    ('problem', models.CharField(default='', max_length=500)),
                    ('took_ms', models.IntegerField(default=0)),
                    ('general', models.BooleanField(default=False)),
                ],
                options={
                    'indexes': [
                        models.Index(fields=['tenant_id', 'name', '-at'], name='audit_check_newest'),
                    ],
                },
            ),
            migrations.CreateModel(
                name='DataKey',
                fields=[
                    ('id', models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                    ('tenant_id', models.UUIDField()),
                    ('subject_id', models.UUIDField(null=True)),
                    ('wrapped', models.BinaryField()),
                    ('created_at', models.DateTimeField(auto_now_add=True)),
                    ('version', models.PositiveSmallIntegerField(default=1)),
                    ('wrapped_by', models.UUIDField(default=uuid.UUID('00000000-0000-0000-0000-000000000000'))),
                ],
                options={
                    'constraints': [
                        models.UniqueConstraint(models.F('tenant_id'), models.F('subject_id'), models.F('version'), name='audit_datakey_owner', nulls_distinct=False),
                    ],
                },
            ),
            migrations.CreateModel(
                name='DeletionRequest',
                fields=[
                    ('id', models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                    ('tenant_id', models.UUIDField()),
                    ('subject_id', models.UUIDField()),
                    ('mode', models.CharField(choices=[('erase', 'Erase'), ('restrict', 'Restrict until retention ends, then erase')], default='erase', max_length=10)),
                    ('state', models.CharField(choices=[('requested', 'Waits for approval'), ('approved', 'Waits for execution'), ('running', 'Being executed'), ('held', 'On legal hold'), ('done', 'Done'), ('refused', 'Refused')], default='requested', max_length=10)),
                    ('removes', models.BooleanField(default=False)),
                    ('reason', models.CharField(default='', max_length=500)),
                    ('answer', models.CharField(default='', max_length=500)),
                    ('requested_by', models.CharField(max_length=80)),
                    ('requested_at', models.DateTimeField()),
                    ('due_at', models.DateTimeField()),
                    ('alerted_at', models.DateTimeField(null=True)),
                    ('approved_by', models.CharField(default='', max_length=80)),
                    ('approved_at', models.DateTimeField(null=True)),
                    ('started_at', models.DateTimeField(null=True)),
                    ('finished_at', models.DateTimeField(null=True)),
                    ('certificate', models.JSONField(null=True)),
                    ('by_subject', models.BooleanField(default=False)),
                    ('held_at', models.DateTimeField(null=True)),
                ],
                options={
                    'indexes': [
                        models.Index(fields=['tenant_id', '-requested_at'], name='audit_deletion_newest'),
                    ],
                    'constraints': [
                        models.UniqueConstraint(condition=models.Q(('state__in', ('done', 'refused')), _negated=True), fields=('tenant_id', 'subject_id', 'mode'), name='audit_deletion_one_open'),
                    ],
                },
            ),
            migrations.CreateModel(
                name='ErasureStep',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('tenant_id', models.UUIDField()),
                    ('store', models.CharField(max_length=60)),
                    ('evidence', models.JSONField(default=dict)),
                    ('attempts', models.PositiveIntegerField(default=0)),
                    ('problem', models.CharField(default='', max_length=500)),
                    ('finished_at', models.DateTimeField(null=True)),
                    ('request', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='steps', to='audit.deletionrequest')),
                ],
                options={
                    'constraints': [
                        models.UniqueConstraint(fields=('request', 'store'), name='audit_step_once'),
                    ],
                },
            ),
            migrations.CreateModel(
                name='Event',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('at', models.DateTimeField()),
                    ('action', models.CharField(max_length=40)),
                    ('tenant_id', models.UUIDField(null=True)),
                    ('request_id', models.UUIDField(null=True)),
                    ('actor', models.CharField(max_length=80)),
                    ('subject_id', models.UUIDField(null=True)),
                    ('client_net', models.GenericIPAddressField(null=True)),
                    ('route', models.CharField(default='', max_length=80)),
                    ('model', models.CharField(default='', max_length=120)),
                    ('success', models.BooleanField(default=True)),
                    ('status', models.SmallIntegerField(null=True)),
                    ('error_code', models.CharField(default='', max_length=60)),
                    ('response_length', models.IntegerField(null=True)),
                    ('processing_ms', models.IntegerField(null=True)),
                    ('tokens_in', models.IntegerField(null=True)),
                    ('tokens_out', models.IntegerField(null=True)),
                    ('detail', models.JSONField(default=dict)),
                    ('api_key_id', models.UUIDField(null=True)),
                    ('payload_sha256', models.BinaryField(null=True)),
                    ('upstream', models.CharField(default='', max_length=120)),
                    ('xid', models.BigIntegerField(db_default=audit.models.xid.Xid())),
                ],
                options={
                    'indexes': [
                        models.Index(fields=['tenant_id', '-at'], name='audit_event_tenant_at'),
                        models.Index(fields=['-at'], name='audit_event_at'),
                        models.Index(fields=['actor', '-at'], name='audit_event_actor_at'),
                        models.Index(fields=['subject_id', '-at'], name='audit_event_subject_at'),
                        models.Index(condition=models.Q(('action__in', ('completion:received', 'completion:completed')), _negated=True), fields=['tenant_id', '-at'], name='audit_event_acts'),
                        models.Index(condition=models.Q(models.Q(('action__in', ('completion:received', 'completion:completed')), _negated=True), ('id__gt', 0)), fields=['-at'], name='audit_event_all_acts'),
                        models.Index(condition=models.Q(('success', False), ('status__gte', 400), _connector='OR'), fields=['tenant_id', '-at'], name='audit_event_failed'),
                        models.Index(fields=['tenant_id', 'client_net', '-at'], name='audit_event_net_at'),
                        models.Index(fields=['xid', 'id'], name='audit_event_written'),
                    ],
                    'constraints': [
                        models.UniqueConstraint(fields=('request_id', 'action', 'at'), name='audit_event_once_per_request'),
                    ],
                },
            ),
            migrations.CreateModel(
                name='Export',
                fields=[
                    ('id', models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                    ('tenant_id', models.UUIDField()),
                    ('subject_id', models.UUIDField(null=True)),
                    ('kind', models.CharField(max_length=20)),
                    ('state', models.CharField(default='making', max_length=10)),
                    ('actor', models.CharField(max_length=80)),
                    ('asked', models.JSONField(default=dict)),
                    ('data_key_id', models.UUIDField(null=True)),
                    ('rows', models.BigIntegerField(default=0)),
                    ('bytes', models.BigIntegerField(default=0)),
                    ('sha256', models.CharField(default='', max_length=64)),
                    ('problem', models.CharField(default='', max_length=300)),
                    ('created_at', models.DateTimeField(auto_now_add=True)),
                    ('expires_at', models.DateTimeField()),
                ],
                options={
                    'indexes': [
                        models.Index(fields=['tenant_id', '-created_at'], name='audit_export_newest'),
                    ],
                },
            ),
            migrations.CreateModel(
                name='KeyMark',
                fields=[
                    ('id', models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                    ('generation', models.BigIntegerField(default=0)),
                    ('xid', models.BigIntegerField(default=0)),
                ],
            ),
            migrations.CreateModel(
                name='KeyRotation',
                fields=[
                    ('id', models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                    ('tenant_id', models.UUIDField(null=True)),
                    ('old_key_id', models.UUIDField()),
                    ('new_key_id', models.UUIDField()),
                    ('actor', models.CharField(max_length=80)),
                    ('total', models.IntegerField(default=0)),
                    ('done', models.IntegerField(default=0)),
                    ('started_at', models.DateTimeField(auto_now_add=True)),
                    ('finished_at', models.DateTimeField(null=True)),
                ],
                options={
                    'constraints': [
                        models.UniqueConstraint(condition=models.Q(('finished_at', None)), fields=('tenant_id',), name='audit_rotation_one_at_a_time', nulls_distinct=False),
                    ],
                },
            ),
            migrations.CreateModel(
                name='LegalHold',
                fields=[
                    ('id', models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                    ('tenant_id', models.UUIDField()),
                    ('subject_id', models.UUIDField(null=True)),
                    ('covers_from', models.DateTimeField(null=True)),
                    ('covers_until', models.DateTimeField(null=True)),
                    ('reason', models.CharField(max_length=500)),
                    ('requested_by', models.CharField(max_length=80)),
                    ('requested_at', models.DateTimeField(auto_now_add=True)),
                    ('approved_by', models.CharField(default='', max_length=80)),
                    ('approved_at', models.DateTimeField(null=True)),
                    ('expires_at', models.DateTimeField()),
                    ('renewed', models.PositiveSmallIntegerField(default=0)),
                    ('released_by', models.CharField(default='', max_length=80)),
                    ('released_at', models.DateTimeField(null=True)),
                    ('holds_meanwhile', models.BooleanField(db_default=True)),
                    ('release_asked_at', models.DateTimeField(null=True)),
                    ('release_asked_by', models.CharField(default='', max_length=80)),
                    ('release_reason', models.CharField(default='', max_length=500)),
                    ('renewed_by', models.CharField(default='', max_length=80)),
                    ('waits_until', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ],
                options={
                    'indexes': [
                        models.Index(fields=['tenant_id', 'subject_id'], name='audit_hold_whose'),
                    ],
                    'constraints': [
                        models.CheckConstraint(condition=models.Q(('approved_by', models.F('requested_by')), _negated=True), name='audit_hold_two_people'),
                        models.CheckConstraint(condition=models.Q(('released_at', None), models.Q(('release_asked_at__isnull', False), models.Q(('released_by', models.F('release_asked_by')), _negated=True)), _connector='OR'), name='audit_hold_two_people_release'),
                    ],
                },
            ),
            migrations.CreateModel(
                name='Payload',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('at', models.DateTimeField()),
                    ('tenant_id', models.UUIDField()),
                    ('request_id', models.UUIDField()),
                    ('field', models.CharField(max_length=20)),
                    ('ciphertext', models.BinaryField()),
                    ('data_key', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, to='audit.datakey')),
                ],
                options={
                    'constraints': [
                        models.UniqueConstraint(fields=('request_id', 'field', 'at'), name='audit_payload_once'),
                    ],
                    'indexes': [
                        models.Index(fields=['data_key', 'at'], name='audit_payload_key_at'),
                        models.Index(fields=['tenant_id', 'at'], name='audit_payload_tenant_at'),
                    ],
                },
            ),
            migrations.CreateModel(
                name='PrunedMonth',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('table', models.CharField(max_length=40)),
                    ('month', models.DateField()),
                    ('rows', models.BigIntegerField()),
                    ('first_seal', models.BigIntegerField(null=True)),
                    ('last_seal', models.BigIntegerField(null=True)),
                    ('pruned_at', models.DateTimeField()),
                ],
                options={
                    'constraints': [
                        models.UniqueConstraint(fields=('table', 'month'), name='audit_pruned_once'),
                    ],
                },
            ),
            migrations.CreateModel(
                name='RetentionRule',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('tenant_id', models.UUIDField()),
                    ('data_class', models.CharField(max_length=40)),
                    ('days', models.PositiveIntegerField()),
                    ('changed_by', models.CharField(max_length=80)),
                    ('changed_at', models.DateTimeField(auto_now=True)),
                ],
                options={
                    'constraints': [
                        models.UniqueConstraint(fields=('tenant_id', 'data_class'), name='audit_rule_once'),
                    ],
                },
            ),
            migrations.CreateModel(
                name='Seal',
                fields=[
                    ('id', models.BigAutoField(primary_key=True, serialize=False)),
                    ('tenant_id', models.UUIDField()),
                    ('batch', models.BigIntegerField()),
                    ('first_seq', models.BigIntegerField()),
                    ('size', models.IntegerField()),
                    ('first_at', models.DateTimeField()),
                    ('last_at', models.DateTimeField()),
                    ('event_ids', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), size=None)),
                    ('leaves', models.BinaryField()),
                    ('root', models.BinaryField()),
                    ('previous', models.BinaryField()),
                    ('hash', models.BinaryField()),
                    ('checkpoint', models.BigIntegerField()),
                    ('position', models.IntegerField()),
                    ('sealed_at', models.DateTimeField()),
                    ('retention_days', models.IntegerField(null=True)),
                ],
                options={
                    'indexes': [
                        models.Index(fields=['checkpoint', 'position'], name='audit_seal_checkpoint'),
                        models.Index(fields=['tenant_id', 'last_at'], name='audit_seal_last_at'),
                    ],
                    'constraints': [
                        models.UniqueConstraint(fields=('tenant_id', 'batch'), name='audit_seal_batch'),
                    ],
                },
            ),
            migrations.CreateModel(
                name='SealMark',
                fields=[
                    ('id', models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                    ('xid', models.BigIntegerField(default=0)),
                    ('event_id', models.BigIntegerField(default=0)),
                    ('at', models.DateTimeField(auto_now=True)),
                    ('restarts', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), db_default=[], default=list, size=None)),
                    ('set_back', models.BooleanField(db_default=False, default=False)),
                ],
            ),
            migrations.CreateModel(
                name='Tombstone',
                fields=[
                    ('n', models.BigAutoField(primary_key=True, serialize=False)),
                    ('tenant_id', models.UUIDField()),
                    ('subject_id', models.UUIDField()),
                    ('request_id', models.UUIDField(unique=True)),
                    ('removes', models.BooleanField(default=False)),
                    ('at', models.DateTimeField()),
                    ('signature', models.BinaryField()),
                ],
                options={
                    'indexes': [
                        models.Index(fields=['tenant_id', 'subject_id'], name='audit_tombstone_whose'),
                    ],
                },
            ),
            migrations.CreateModel(
                name='WitnessMark',
                fields=[
                    ('name', models.CharField(max_length=200, primary_key=True, serialize=False)),
                    ('n', models.BigIntegerField(default=0)),
                    ('at', models.DateTimeField(null=True)),
                    ('problem', models.CharField(default='', max_length=300)),
                ],
            ),
        ]),
        # A copy of a table gets no checks: they come after it.
        migrations.RunPython(partition, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name='event',
            constraint=models.CheckConstraint(condition=models.Q(('at__gte', datetime.datetime(2000, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)), ('at__lt', datetime.datetime(2200, 1, 1, 0, 0, tzinfo=datetime.timezone.utc))), name='audit_event_of_a_clock'),
        ),
        migrations.AddConstraint(
            model_name='payload',
            constraint=models.CheckConstraint(condition=models.Q(('at__gte', datetime.datetime(2000, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)), ('at__lt', datetime.datetime(2200, 1, 1, 0, 0, tzinfo=datetime.timezone.utc))), name='audit_payload_of_a_clock'),
        ),
    ]
