import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
import django.utils.timezone
import tenants.models.api_key
import tenants.models.origin
import tenants.models.price
import tenants.models.tenant
import uuid
from decimal import Decimal
from django.conf import settings
from django.db import migrations, models
from infrastructure.postgres.model_creation import CreateModels


class Migration(migrations.Migration):

    replaces = [
        ('tenants', '0001_initial'),
        ('tenants', '0002_tenancy'),
        ('tenants', '0003_quota_set_by_platform'),
        ('tenants', '0004_key_grantors'),
        ('tenants', '0005_tenant_name'),
        ('tenants', '0006_byte_limits'),
        ('tenants', '0007_text_lock'),
        ('tenants', '0008_browser_origins'),
        ('tenants', '0009_readers'),
        ('tenants', '0010_key_holders'),
        ('tenants', '0011_ciphertext'),
        ('tenants', '0012_team_membership'),
        ('tenants', '0013_fewer_indexes'),
        ('tenants', '0014_peak_prices'),
        ('tenants', '0015_local_only_keys'),
        ('tenants', '0016_cache_rules'),
        ('tenants', '0017_pool_prices'),
        ('tenants', '0018_price_ended'),
        ('tenants', '0019_refusals_by_time'),
        ('tenants', '0020_operator_keys'),
        ('tenants', '0021_gpu_seconds'),
        ('tenants', '0022_longer_units'),
        ('tenants', '0023_sessions'),
        ('tenants', '0024_person'),
        ('tenants', '0025_reviewers'),
        ('tenants', '0026_agents'),
        ('tenants', '0027_notices'),
        ('tenants', '0030_invited_team'),
        ('tenants', '0031_team_quotas'),
        ('tenants', '0033_chat_rules'),
        ('tenants', '0034_key_schedules'),
    ]

    initial = True

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
        ('audit', '0001_squashed_0008_fewer_indexes'),
    ]

    operations = [
        CreateModels([
            migrations.CreateModel(
                name='ApiKey',
                fields=[
                    ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                    ('name', models.CharField(max_length=80, verbose_name='name')),
                    ('public_id', models.CharField(max_length=12, unique=True)),
                    ('digest', models.BinaryField(unique=True)),
                    ('subject_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                    ('created_at', models.DateTimeField(auto_now_add=True)),
                    ('expires_at', models.DateTimeField(blank=True, null=True, verbose_name='expires')),
                    ('revoked_at', models.DateTimeField(null=True)),
                    ('created_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='tenants.member')),
                    ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='api_keys', to='tenants.tenant')),
                    ('allowed_models', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=120), blank=True, default=list, size=None, verbose_name='models')),
                    ('allowed_networks', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=43), blank=True, default=list, size=None, verbose_name='addresses')),
                    ('burst', models.PositiveIntegerField(blank=True, null=True, verbose_name='burst')),
                    ('group', models.OneToOneField(editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='api_key', to='auth.group')),
                    ('last_used_at', models.DateTimeField(null=True)),
                    ('max_concurrency', models.PositiveIntegerField(blank=True, null=True, verbose_name='requests at once')),
                    ('replaced_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='tenants.apikey')),
                    ('requests_per_minute', models.PositiveIntegerField(blank=True, null=True, verbose_name='requests per minute')),
                    ('scopes', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('inference', 'Inference'), ('batch', 'Batches'), ('management:read', 'Management: read'), ('management:write', 'Management: write'), ('audit:read', 'Audit: read')], max_length=20), default=tenants.models.api_key.inference_only, size=None, verbose_name='scopes')),
                    ('tokens_per_minute', models.PositiveIntegerField(blank=True, null=True, verbose_name='tokens per minute')),
                    ('team', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='api_keys', to='tenants.team', verbose_name='team')),
                    ('grantors', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=80), blank=True, default=list, editable=False, size=None)),
                    ('megabytes_in_flight', models.PositiveIntegerField(blank=True, null=True, verbose_name='megabytes in flight')),
                    ('megabytes_per_day', models.PositiveIntegerField(blank=True, null=True, verbose_name='megabytes stored per day')),
                    ('holders', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=80), blank=True, default=list, editable=False, size=None)),
                    ('local_only', models.BooleanField(default=False, verbose_name='local only')),
                    ('rotate_at', models.DateTimeField(blank=True, null=True, verbose_name='rotates')),
                    ('rotate_days', models.PositiveSmallIntegerField(blank=True, null=True)),
                    ('rotation_overlap_s', models.PositiveIntegerField(db_default=86400, default=86400)),
                    ('uncollected', models.BooleanField(db_default=False, default=False, editable=False)),
                ],
            ),
            migrations.CreateModel(
                name='CacheRule',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('model', models.CharField(blank=True, default='', max_length=120)),
                    ('on', models.BooleanField()),
                    ('created_at', models.DateTimeField(auto_now_add=True)),
                    ('api_key', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='cache_rules', to='tenants.apikey')),
                    ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='cache_rules', to='tenants.tenant')),
                ],
                options={
                    'constraints': [
                        models.UniqueConstraint(fields=('tenant', 'api_key', 'model'), name='tenants_cache_rule_once', nulls_distinct=False),
                    ],
                },
            ),
            migrations.CreateModel(
                name='IdempotentRequest',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('actor', models.CharField(max_length=80)),
                    ('route', models.CharField(max_length=200)),
                    ('key', models.CharField(max_length=255)),
                    ('body', models.BinaryField()),
                    ('data_key_id', models.UUIDField()),
                    ('ciphertext', models.BinaryField()),
                    ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                    ('tenant', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant')),
                ],
                options={
                    'indexes': [
                        models.Index(fields=['created_at'], name='tenants_idempotent_created'),
                    ],
                    'constraints': [
                        models.UniqueConstraint(models.F('actor'), models.F('route'), models.F('key'), name='tenants_idempotent_once'),
                    ],
                },
            ),
            migrations.CreateModel(
                name='LedgerEntry',
                fields=[
                    ('id', models.BigAutoField(primary_key=True, serialize=False)),
                    ('at', models.DateTimeField()),
                    ('counts_at', models.DateTimeField()),
                    ('request_id', models.UUIDField()),
                    ('kind', models.CharField(choices=[('reserve', 'Reserved'), ('settle', 'Settled'), ('release', 'Released')], max_length=8)),
                    ('api_key_id', models.UUIDField(null=True)),
                    ('member_id', models.UUIDField(null=True)),
                    ('model', models.CharField(max_length=120)),
                    ('requests', models.IntegerField(default=1)),
                    ('tokens', models.BigIntegerField(default=0)),
                    ('cost', models.BigIntegerField(default=0)),
                    ('tenant', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='ledger', to='tenants.tenant')),
                    ('gpu_ms', models.BigIntegerField(db_default=0, default=0)),
                    ('session', models.UUIDField(null=True)),
                    ('team_id', models.UUIDField(null=True)),
                ],
                options={
                    'indexes': [
                        models.Index(fields=['tenant', 'counts_at'], name='tenants_ledger_counts_at'),
                        models.Index(models.F('tenant'), models.F('session'), condition=models.Q(('session__isnull', False)), name='tenants_ledger_session'),
                    ],
                    'constraints': [
                        models.UniqueConstraint(models.F('request_id'), condition=models.Q(('kind', 'reserve')), name='tenants_ledger_one_reserve'),
                        models.UniqueConstraint(models.F('request_id'), condition=models.Q(('kind', 'reserve'), _negated=True), name='tenants_ledger_one_end'),
                    ],
                },
            ),
            migrations.CreateModel(
                name='Link',
                fields=[
                    ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                    ('purpose', models.CharField(choices=[('first_run', 'Set up the first operator'), ('invitation', 'Join a tenant'), ('reset', 'Choose a new password')], max_length=12)),
                    ('digest', models.BinaryField(unique=True)),
                    ('email', models.EmailField(blank=True, max_length=254)),
                    ('role', models.CharField(choices=[('owner', 'Owner'), ('admin', 'Administrator'), ('developer', 'Developer'), ('auditor', 'Auditor'), ('reviewer', 'Reviewer'), ('agent', 'Agent'), ('member', 'Member')], default='owner', max_length=12)),
                    ('created_at', models.DateTimeField(auto_now_add=True)),
                    ('expires_at', models.DateTimeField()),
                    ('used_at', models.DateTimeField(null=True)),
                    ('tenant', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, to='tenants.tenant')),
                    ('created_by', models.CharField(default='', max_length=80)),
                    ('team', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='tenants.team')),
                ],
            ),
            migrations.CreateModel(
                name='Member',
                fields=[
                    ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                    ('role', models.CharField(choices=[('owner', 'Owner'), ('admin', 'Administrator'), ('developer', 'Developer'), ('auditor', 'Auditor'), ('reviewer', 'Reviewer'), ('agent', 'Agent'), ('member', 'Member')], default='member', max_length=12, verbose_name='role')),
                    ('subject_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                    ('created_at', models.DateTimeField(auto_now_add=True)),
                    ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='memberships', to=settings.AUTH_USER_MODEL)),
                    ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='members', to='tenants.tenant')),
                ],
                options={
                    'constraints': [
                        models.UniqueConstraint(models.F('tenant'), models.F('user'), name='tenants_member_once'),
                    ],
                },
            ),
            migrations.CreateModel(
                name='Notice',
                fields=[
                    ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                    ('event', models.CharField(max_length=40)),
                    ('occasion', models.CharField(max_length=100)),
                    ('facts', models.JSONField(default=dict)),
                    ('language', models.CharField(default='', max_length=8)),
                    ('secret', models.TextField(default='')),
                    ('state', models.CharField(choices=[('waiting', 'Waits'), ('sent', 'Delivered'), ('failed', 'Not delivered'), ('skipped', 'Not sent')], default='waiting', max_length=8)),
                    ('attempts', models.PositiveSmallIntegerField(default=0)),
                    ('tries', models.JSONField(default=list)),
                    ('status', models.SmallIntegerField(null=True)),
                    ('reason', models.CharField(default='', max_length=40)),
                    ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                    ('began_at', models.DateTimeField(default=django.utils.timezone.now)),
                    ('due_at', models.DateTimeField(default=django.utils.timezone.now)),
                    ('ended_at', models.DateTimeField(null=True)),
                    ('link', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.link')),
                    ('tenant', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='notices', to='tenants.tenant')),
                    ('user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
                    ('target', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='notices', to='tenants.noticetarget')),
                ],
                options={
                    'indexes': [
                        models.Index(condition=models.Q(('state', 'waiting')), fields=['due_at'], name='tenants_notice_due'),
                        models.Index(fields=['tenant', '-created_at'], name='tenants_notice_newest'),
                    ],
                    'constraints': [
                        models.UniqueConstraint(condition=models.Q(('user__isnull', False)), fields=('occasion', 'user'), name='tenants_notice_once_person'),
                        models.UniqueConstraint(condition=models.Q(('target__isnull', False)), fields=('occasion', 'target'), name='tenants_notice_once_target'),
                    ],
                },
            ),
            migrations.CreateModel(
                name='NoticeMark',
                fields=[
                    ('id', models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                    ('xid', models.BigIntegerField()),
                    ('event_id', models.BigIntegerField()),
                ],
            ),
            migrations.CreateModel(
                name='NoticePreference',
                fields=[
                    ('user', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='notice_preference', serialize=False, to=settings.AUTH_USER_MODEL)),
                    ('language', models.CharField(default='', max_length=8)),
                    ('last_language', models.CharField(default='', max_length=8)),
                    ('muted', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=20), default=list, size=None)),
                ],
            ),
            migrations.CreateModel(
                name='NoticeTarget',
                fields=[
                    ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                    ('name', models.CharField(max_length=60, verbose_name='name')),
                    ('kind', models.CharField(choices=[('webhook', 'Webhook'), ('feishu', 'Feishu'), ('dingtalk', 'DingTalk'), ('wecom', 'WeCom'), ('slack', 'Slack')], max_length=12)),
                    ('host', models.CharField(max_length=300)),
                    ('url', models.TextField()),
                    ('secret', models.TextField(blank=True, default='')),
                    ('former_secret', models.TextField(blank=True, default='')),
                    ('former_until', models.DateTimeField(blank=True, null=True)),
                    ('groups', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=20), size=None)),
                    ('language', models.CharField(default='en', max_length=8)),
                    ('enabled', models.BooleanField(default=True)),
                    ('created_by', models.CharField(max_length=80)),
                    ('created_at', models.DateTimeField(auto_now_add=True)),
                    ('changed_at', models.DateTimeField(default=django.utils.timezone.now)),
                    ('tenant', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='notice_targets', to='tenants.tenant')),
                ],
                options={
                    'constraints': [
                        models.UniqueConstraint(fields=('tenant', 'name'), name='tenants_notice_target_name', nulls_distinct=False),
                    ],
                },
            ),
            migrations.CreateModel(
                name='OperatorKey',
                fields=[
                    ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                    ('name', models.CharField(max_length=80, verbose_name='name')),
                    ('public_id', models.CharField(max_length=12, unique=True)),
                    ('digest', models.BinaryField(unique=True)),
                    ('scopes', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('engines:read', 'Engines: read'), ('engines:write', 'Engines: write'), ('pools:read', 'Models and pools: read'), ('pools:write', 'Models and pools: write'), ('prices:read', 'Prices: read'), ('prices:write', 'Prices: write'), ('limits:read', 'Limits of tenants and tiers: read'), ('limits:write', 'Limits of tenants and tiers: write')], max_length=20), size=None, verbose_name='scopes')),
                    ('allowed_networks', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=43), blank=True, default=list, size=None, verbose_name='addresses')),
                    ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                    ('expires_at', models.DateTimeField(verbose_name='expires')),
                    ('revoked_at', models.DateTimeField(null=True)),
                    ('last_used_at', models.DateTimeField(null=True)),
                    ('requests_per_minute', models.PositiveIntegerField(default=100, verbose_name='requests per minute')),
                    ('created_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='operator_keys', to=settings.AUTH_USER_MODEL)),
                ],
            ),
            migrations.CreateModel(
                name='PasswordHistory',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('password', models.CharField(max_length=128)),
                    ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                    ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='password_history', to=settings.AUTH_USER_MODEL)),
                ],
                options={
                    'ordering': ['-id'],
                },
            ),
            migrations.CreateModel(
                name='Person',
                fields=[
                    ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                    ('digest', models.BinaryField(max_length=32)),
                    ('created_at', models.DateTimeField(auto_now_add=True)),
                    ('tenant', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='people', to='tenants.tenant')),
                ],
                options={
                    'constraints': [
                        models.UniqueConstraint(models.F('tenant'), models.F('digest'), name='tenants_person_once'),
                    ],
                },
            ),
            migrations.CreateModel(
                name='Price',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('model', models.CharField(max_length=120, verbose_name='model')),
                    ('prompt', models.DecimalField(decimal_places=4, max_digits=12, validators=[django.core.validators.MinValueValidator(Decimal('0'))], verbose_name='per million prompt tokens')),
                    ('cached', models.DecimalField(decimal_places=4, max_digits=12, validators=[django.core.validators.MinValueValidator(Decimal('0'))], verbose_name='per million cached tokens')),
                    ('completion', models.DecimalField(decimal_places=4, max_digits=12, validators=[django.core.validators.MinValueValidator(Decimal('0'))], verbose_name='per million completion tokens')),
                    ('since', models.DateTimeField(default=django.utils.timezone.now)),
                    ('peak_factor', models.DecimalField(db_default=Decimal('1'), decimal_places=4, max_digits=7, validators=[django.core.validators.MinValueValidator(Decimal('0'))], verbose_name='prices at peak hours, times')),
                    ('peak_hours', models.CharField(blank=True, db_default='', max_length=120, validators=[tenants.models.price.check_peak_hours], verbose_name='peak hours in UTC')),
                    ('pool', models.CharField(blank=True, db_default='', max_length=120, verbose_name='pool')),
                    ('ended', models.BooleanField(db_default=False, default=False, editable=False)),
                    ('gpu_hour', models.DecimalField(db_default=Decimal('0'), decimal_places=4, default=Decimal('0'), max_digits=12, validators=[django.core.validators.MinValueValidator(Decimal('0'))], verbose_name='per GPU-hour of jobs')),
                ],
                options={
                    'constraints': [
                        models.UniqueConstraint(models.F('model'), models.F('pool'), models.F('since'), name='tenants_price_once'),
                    ],
                },
            ),
            migrations.CreateModel(
                name='Quota',
                fields=[
                    ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                    ('model', models.CharField(blank=True, default='', max_length=120, verbose_name='model')),
                    ('unit', models.CharField(choices=[('requests', 'Requests'), ('tokens', 'Tokens'), ('cost', 'Cost'), ('gpu_seconds', 'GPU-seconds')], max_length=12, verbose_name='unit')),
                    ('window', models.CharField(choices=[('day', 'Day'), ('month', 'Month'), ('session', 'Session')], max_length=10, verbose_name='window')),
                    ('limit', models.BigIntegerField(validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(1000000000000000)], verbose_name='limit')),
                    ('created_at', models.DateTimeField(auto_now_add=True)),
                    ('api_key', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='quotas', to='tenants.apikey')),
                    ('member', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='quotas', to='tenants.member')),
                    ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='quotas', to='tenants.tenant')),
                    ('set_by_platform', models.BooleanField(default=False, editable=False)),
                    ('team', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='quotas', to='tenants.team')),
                ],
                options={
                    'constraints': [
                        models.UniqueConstraint(models.F('tenant'), models.F('api_key'), models.F('member'), models.F('team'), models.F('model'), models.F('unit'), models.F('window'), name='tenants_quota_once', nulls_distinct=False),
                        models.CheckConstraint(condition=models.Q(models.Q(('api_key', None), ('member', None), ('team', None)), models.Q(('api_key', None), ('model', ''), ('team', None)), models.Q(('member', None), ('model', ''), ('team', None)), models.Q(('api_key', None), ('member', None), ('model', '')), _connector='OR'), name='tenants_quota_one_scope'),
                    ],
                },
            ),
            migrations.CreateModel(
                name='QuotaCounter',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('starts', models.DateTimeField()),
                    ('ends', models.DateTimeField()),
                    ('reserved', models.BigIntegerField(default=0)),
                    ('used', models.BigIntegerField(default=0)),
                    ('quota', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='counters', to='tenants.quota')),
                    ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant')),
                    ('session', models.UUIDField(null=True)),
                ],
                options={
                    'constraints': [
                        models.UniqueConstraint(fields=('quota', 'session', 'starts'), name='tenants_counter_of_window', nulls_distinct=False),
                    ],
                },
            ),
            migrations.CreateModel(
                name='QuotaNotice',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('starts', models.DateTimeField()),
                    ('percent', models.SmallIntegerField()),
                    ('at', models.DateTimeField()),
                    ('quota', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='notices', to='tenants.quota')),
                    ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='quota_notices', to='tenants.tenant')),
                ],
                options={
                    'constraints': [
                        models.UniqueConstraint(models.F('quota'), models.F('starts'), models.F('percent'), name='tenants_notice_once'),
                    ],
                },
            ),
            migrations.CreateModel(
                name='QuotaRaise',
                fields=[
                    ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                    ('amount', models.BigIntegerField(validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(1000000000000000)], verbose_name='amount')),
                    ('reason', models.CharField(max_length=200, verbose_name='reason')),
                    ('state', models.CharField(choices=[('requested', 'Waits for approval'), ('approved', 'Approved'), ('refused', 'Refused')], default='requested', max_length=10)),
                    ('requested_at', models.DateTimeField(auto_now_add=True)),
                    ('decided_at', models.DateTimeField(null=True)),
                    ('expires_at', models.DateTimeField(verbose_name='expires')),
                    ('decided_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                    ('quota', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='raises', to='tenants.quota')),
                    ('requested_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                    ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='quota_raises', to='tenants.tenant')),
                ],
                options={
                    'constraints': [
                        models.CheckConstraint(condition=models.Q(('requested_by', None), ('decided_by', None), models.Q(('requested_by', models.F('decided_by')), _negated=True), _connector='OR'), name='tenants_raise_two_people'),
                    ],
                },
            ),
            migrations.CreateModel(
                name='Reconciliation',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('day', models.DateField()),
                    ('ran_at', models.DateTimeField()),
                    ('requests_ledger', models.BigIntegerField()),
                    ('requests_usage', models.BigIntegerField()),
                    ('tokens_ledger', models.BigIntegerField()),
                    ('tokens_usage', models.BigIntegerField()),
                    ('cost_ledger', models.BigIntegerField()),
                    ('cost_usage', models.BigIntegerField()),
                    ('counters_off', models.IntegerField(default=0)),
                    ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='reconciliations', to='tenants.tenant')),
                    ('gpu_ms_ledger', models.BigIntegerField(db_default=0, default=0)),
                    ('gpu_ms_usage', models.BigIntegerField(db_default=0, default=0)),
                ],
                options={
                    'constraints': [
                        models.UniqueConstraint(models.F('tenant'), models.F('day'), name='tenants_reconciliation_once'),
                    ],
                },
            ),
            migrations.CreateModel(
                name='Refusal',
                fields=[
                    ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                    ('actor', models.CharField(max_length=80)),
                    ('tier', models.CharField(choices=[('ip', 'Requests of this address'), ('key_rate', 'Requests per minute of the key'), ('rate', 'Requests per minute of the tenant'), ('key_tokens', 'Tokens per minute of the key'), ('tokens', 'Tokens per minute of the tenant'), ('key_concurrency', 'Requests at once of the key'), ('concurrency', 'Requests at once of the tenant'), ('key_bytes', 'Bytes in flight of the key'), ('bytes', 'Bytes in flight of the tenant'), ('key_stored', 'Bytes stored per day of the key'), ('stored', 'Bytes stored per day of the tenant'), ('key_readers', 'Readers of streams at once of the key'), ('readers', 'Readers of streams at once of the tenant'), ('quota', 'Quota')], max_length=20)),
                    ('quota_id', models.UUIDField(null=True)),
                    ('route', models.CharField(default='', max_length=80)),
                    ('model', models.CharField(default='', max_length=120)),
                    ('client_net', models.GenericIPAddressField(null=True)),
                    ('limit', models.BigIntegerField()),
                    ('used', models.BigIntegerField()),
                    ('minute', models.DateTimeField()),
                    ('first_at', models.DateTimeField()),
                    ('last_at', models.DateTimeField()),
                    ('frees_at', models.DateTimeField()),
                    ('count', models.IntegerField(default=1)),
                    ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='refusals', to='tenants.tenant')),
                ],
                options={
                    'indexes': [
                        models.Index(fields=['tenant', '-last_at'], name='tenants_refusal_last'),
                        models.Index(fields=['-last_at', '-id'], name='tenants_refusal_newest'),
                    ],
                },
            ),
            migrations.CreateModel(
                name='RestrictedModel',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('name', models.CharField(max_length=120, verbose_name='model')),
                    ('created_at', models.DateTimeField(auto_now_add=True)),
                    ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='restricted_models', to='tenants.tenant')),
                ],
                options={
                    'permissions': [('use_restrictedmodel', 'Can use the model')],
                    'default_permissions': (),
                    'constraints': [
                        models.UniqueConstraint(models.F('tenant'), models.F('name'), name='tenants_restricted_once'),
                    ],
                },
            ),
            migrations.CreateModel(
                name='RestrictedModelGroupObjectPermission',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('content_object', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='tenants.restrictedmodel')),
                    ('group', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='auth.group')),
                    ('permission', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='auth.permission')),
                ],
                options={
                    'abstract': False,
                    'unique_together': {('group', 'permission', 'content_object')},
                },
            ),
            migrations.CreateModel(
                name='RestrictedModelUserObjectPermission',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('content_object', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='tenants.restrictedmodel')),
                    ('permission', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='auth.permission')),
                    ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL)),
                ],
                options={
                    'abstract': False,
                    'unique_together': {('user', 'permission', 'content_object')},
                },
            ),
            migrations.CreateModel(
                name='Team',
                fields=[
                    ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                    ('name', models.CharField(max_length=80, verbose_name='name')),
                    ('created_at', models.DateTimeField(auto_now_add=True)),
                    ('group', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='team', to='auth.group')),
                    ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='teams', to='tenants.tenant')),
                    ('temporary_chats', models.BooleanField(db_default=False, default=False)),
                ],
                options={
                    'constraints': [
                        models.UniqueConstraint(models.F('tenant'), models.F('name'), name='tenants_team_name'),
                    ],
                },
            ),
            migrations.CreateModel(
                name='TeamMembership',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('created_at', models.DateTimeField(auto_now_add=True)),
                    ('member', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='team_memberships', to='tenants.member')),
                    ('team', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='memberships', to='tenants.team')),
                    ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant')),
                ],
                options={
                    'constraints': [
                        models.UniqueConstraint(models.F('team'), models.F('member'), name='tenants_team_place_once'),
                    ],
                },
            ),
            migrations.CreateModel(
                name='Tenant',
                fields=[
                    ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                    ('name', models.CharField(max_length=60, unique=True, validators=[django.core.validators.RegexValidator('^[a-z0-9][a-z0-9-]*\\Z', 'Use lowercase letters, digits and dashes, and begin with a letter or a digit.')], verbose_name='name')),
                    ('tier', models.CharField(choices=[('standard', 'Standard'), ('vip', 'VIP')], default='standard', max_length=10, verbose_name='tier')),
                    ('requests_per_minute', models.PositiveIntegerField(blank=True, null=True, verbose_name='requests per minute')),
                    ('burst', models.PositiveIntegerField(blank=True, null=True, verbose_name='burst')),
                    ('max_concurrency', models.PositiveIntegerField(blank=True, null=True, verbose_name='requests at once')),
                    ('created_at', models.DateTimeField(auto_now_add=True)),
                    ('local_only', models.BooleanField(default=False, help_text='No prompt ever leaves this installation.', verbose_name='local only')),
                    ('profile', models.CharField(choices=[('asvs-5', 'OWASP ASVS 5.0'), ('mlps-l3', 'MLPS 2.0 level 3')], default='asvs-5', max_length=10, verbose_name='security profile')),
                    ('retention_days', models.PositiveIntegerField(default=200, validators=[django.core.validators.MinValueValidator(184)], verbose_name='retention in days')),
                    ('state', models.CharField(choices=[('active', 'Active'), ('suspended', 'Suspended'), ('closing', 'Closing')], default='active', max_length=10, verbose_name='state')),
                    ('time_zone', models.CharField(default='UTC', help_text='Days and months of quotas start at midnight in this time zone.', max_length=60, validators=[tenants.models.tenant.known_time_zone], verbose_name='time zone')),
                    ('tokens_per_minute', models.PositiveIntegerField(blank=True, null=True, verbose_name='tokens per minute')),
                    ('megabytes_in_flight', models.PositiveIntegerField(blank=True, null=True, verbose_name='megabytes in flight')),
                    ('megabytes_per_day', models.PositiveIntegerField(blank=True, null=True, verbose_name='megabytes stored per day')),
                    ('allowed_origins', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=200), blank=True, default=list, size=None, validators=[tenants.models.origin.known_origins], verbose_name='browser origins')),
                    ('cache_epoch', models.PositiveIntegerField(db_default=0)),
                    ('chat_sharing', models.CharField(choices=[('nobody', 'Nobody'), ('members', 'People of the tenant'), ('links', 'People of the tenant, and everybody with a link')], db_default='members', default='members', max_length=10, verbose_name='sharing of chats')),
                    ('temporary_chats', models.CharField(choices=[('allowed', 'Each person decides'), ('always', 'Every chat is temporary'), ('never', 'No chat is temporary')], db_default='allowed', default='allowed', max_length=10, verbose_name='temporary chats')),
                ],
            ),
            migrations.CreateModel(
                name='TextLock',
                fields=[
                    ('user', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='text_lock', serialize=False, to=settings.AUTH_USER_MODEL)),
                    ('since', models.DateTimeField()),
                    ('before', models.DateTimeField()),
                    ('made_by', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=80), size=None)),
                ],
            ),
            migrations.CreateModel(
                name='TierPolicy',
                fields=[
                    ('tier', models.CharField(choices=[('standard', 'Standard'), ('vip', 'VIP')], max_length=10, primary_key=True, serialize=False, verbose_name='tier')),
                    ('weight', models.PositiveSmallIntegerField(default=1, help_text='Share of the GPUs relative to other tenants.', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(100)], verbose_name='weight')),
                    ('requests_per_minute', models.PositiveIntegerField(default=100, verbose_name='requests per minute')),
                    ('burst', models.PositiveIntegerField(default=200, verbose_name='burst')),
                    ('tokens_per_minute', models.PositiveIntegerField(default=0, verbose_name='tokens per minute')),
                    ('max_concurrency', models.PositiveIntegerField(default=64, verbose_name='requests at once')),
                    ('megabytes_in_flight', models.PositiveIntegerField(default=32, verbose_name='megabytes in flight')),
                    ('megabytes_per_day', models.PositiveIntegerField(default=10000, verbose_name='megabytes stored per day')),
                ],
            ),
            migrations.CreateModel(
                name='User',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('password', models.CharField(max_length=128, verbose_name='password')),
                    ('last_login', models.DateTimeField(blank=True, null=True, verbose_name='last login')),
                    ('is_superuser', models.BooleanField(default=False, help_text='Designates that this user has all permissions without explicitly assigning them.', verbose_name='superuser status')),
                    ('email', models.EmailField(max_length=254, unique=True, verbose_name='email address')),
                    ('name', models.CharField(blank=True, max_length=120, verbose_name='name')),
                    ('is_active', models.BooleanField(default=True)),
                    ('is_operator', models.BooleanField(default=False)),
                    ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                    ('groups', models.ManyToManyField(blank=True, help_text='The groups this user belongs to. A user will get all permissions granted to each of their groups.', related_name='user_set', related_query_name='user', to='auth.group', verbose_name='groups')),
                    ('user_permissions', models.ManyToManyField(blank=True, help_text='Specific permissions for this user.', related_name='user_set', related_query_name='user', to='auth.permission', verbose_name='user permissions')),
                    ('password_changed_at', models.DateTimeField(default=django.utils.timezone.now)),
                ],
                options={
                    'abstract': False,
                },
            ),
        ]),
    ]
