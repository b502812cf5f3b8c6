import django.core.validators
import django.db.models.deletion
import django.utils.timezone
import inference.models.prompt_template
import uuid
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('inference', '0047_policy_trials'),
        ('tenants', '0024_person'),
    ]

    operations = [
        migrations.CreateModel(
            name='KnowledgeBase',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=80, validators=[inference.models.prompt_template.is_name])),
                ('model', models.CharField(max_length=120)),
                ('data_key_id', models.UUIDField()),
                ('secret', models.BinaryField()),
                ('dimensions', models.PositiveSmallIntegerField(default=0)),
                ('stored_bytes', models.BigIntegerField(default=0)),
                ('created_by', models.CharField(max_length=60)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('changed_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('deleted_at', models.DateTimeField(null=True)),
                ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='knowledge_bases', to='tenants.tenant')),
            ],
        ),
        migrations.CreateModel(
            name='Document',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=400)),
                ('url', models.CharField(blank=True, max_length=1000, validators=[django.core.validators.URLValidator(['http', 'https'])])),
                ('form', models.CharField(choices=[('markdown', 'Markdown'), ('text', 'Text'), ('html', 'HTML'), ('faq_csv', 'Questions and answers (CSV)'), ('faq_jsonl', 'Questions and answers (JSON lines)')], max_length=10)),
                ('state', models.CharField(choices=[('uploading', 'Being uploaded'), ('waiting', 'Waiting'), ('embedding', 'Being read'), ('ready', 'Ready'), ('failed', 'Failed'), ('gone', 'Deleted')], default='uploading', max_length=10)),
                ('problem', models.CharField(blank=True, default='', max_length=60)),
                ('digest', models.BinaryField(default=bytes)),
                ('size', models.BigIntegerField(default=0)),
                ('passages', models.PositiveIntegerField(default=0)),
                ('embedded', models.PositiveIntegerField(default=0)),
                ('left_out', models.PositiveIntegerField(default=0)),
                ('created_by', models.CharField(max_length=60)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('ready_at', models.DateTimeField(null=True)),
                ('due_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('leased_until', models.DateTimeField(null=True)),
                ('turn', models.PositiveIntegerField(default=0)),
                ('attempts', models.PositiveSmallIntegerField(default=0)),
                ('api_key', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='tenants.apikey')),
                ('member', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='tenants.member')),
                ('tenant', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant')),
                ('base', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='documents', to='inference.knowledgebase')),
            ],
        ),
        migrations.CreateModel(
            name='Passage',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('number', models.PositiveIntegerField()),
                ('data_key_id', models.UUIDField()),
                ('ciphertext', models.BinaryField()),
                ('words', models.PositiveIntegerField()),
                ('dimensions', models.PositiveSmallIntegerField()),
                ('base', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='inference.knowledgebase')),
                ('document', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='inference.document')),
                ('tenant', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant')),
            ],
        ),
        migrations.CreateModel(
            name='PassageWord',
            fields=[
                ('pk', models.CompositePrimaryKey('passage_id', 'word', blank=True, editable=False, primary_key=True, serialize=False)),
                ('word', models.BigIntegerField()),
                ('count', models.PositiveSmallIntegerField()),
                ('passage', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='inference.passage')),
                ('tenant', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant')),
            ],
        ),
        migrations.CreateModel(
            name='DocumentPiece',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('number', models.PositiveIntegerField()),
                ('data_key_id', models.UUIDField()),
                ('size', models.PositiveIntegerField()),
                ('ciphertext', models.BinaryField()),
                ('document', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='pieces', to='inference.document')),
                ('tenant', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant')),
            ],
            options={
                'constraints': [models.UniqueConstraint(models.F('document'), models.F('number'), name='inference_documentpiece_once')],
            },
        ),
        migrations.AddConstraint(
            model_name='knowledgebase',
            constraint=models.UniqueConstraint(condition=models.Q(('deleted_at', None)), fields=('tenant', 'name'), name='inference_knowledge_name'),
        ),
        migrations.AddIndex(
            model_name='document',
            index=models.Index(fields=['base', '-created_at'], name='document_base_created'),
        ),
        migrations.AddIndex(
            model_name='document',
            index=models.Index(models.F('due_at'), condition=models.Q(('state__in', ('uploading', 'waiting', 'embedding', 'gone'))), name='document_due'),
        ),
        migrations.AddConstraint(
            model_name='document',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'ready')), fields=('base', 'name'), name='inference_document_name'),
        ),
        migrations.AddIndex(
            model_name='passage',
            index=models.Index(fields=['base'], name='passage_base'),
        ),
        migrations.AddConstraint(
            model_name='passage',
            constraint=models.UniqueConstraint(models.F('document'), models.F('number'), name='inference_passage_once'),
        ),
        migrations.AddIndex(
            model_name='passageword',
            index=models.Index(fields=['word'], name='passageword_word'),
        ),
    ]
