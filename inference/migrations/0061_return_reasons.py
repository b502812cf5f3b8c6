from django.db import migrations, models


def _fields(model):
    return [
        migrations.AddField(
            model_name=model,
            name='return_ciphertext',
            field=models.BinaryField(null=True),
        ),
        migrations.AddField(
            model_name=model,
            name='return_key_id',
            field=models.UUIDField(null=True),
        ),
        migrations.AddField(
            model_name=model,
            name='returned_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name=model,
            name='returned_by',
            field=models.CharField(blank=True, db_default='', default='', max_length=80),
        ),
    ]


class Migration(migrations.Migration):

    dependencies = [
        ('inference', '0060_dialogue_measures'),
    ]

    operations = [*_fields('assistantversion'), *_fields('decisionpolicyversion')]
