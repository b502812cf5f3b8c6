"""Branches of conversations.

Only columns without values: no row is rewritten and no table is read, whatever its size. The order
of older messages follows from their times (inference/models/chat/message_tree.py), also for messages
that processes of an older version write meanwhile, or after a return to it.
"""

from django.db import migrations, models
from django.db.models import deletion


def _message():
    return models.ForeignKey(
        db_constraint=False,
        db_index=False,
        null=True,
        on_delete=deletion.DO_NOTHING,
        related_name='+',
        to='inference.message',
    )


def _flag():
    return models.BooleanField(db_default=False, default=False)


class Migration(migrations.Migration):

    dependencies = [
        ('inference', '0062_failed_rows'),
    ]

    operations = [
        migrations.AddField(model_name='conversation', name='leaf', field=_message()),
        migrations.AddField(model_name='message', name='parent', field=_message()),
        migrations.AddField(model_name='message', name='is_first', field=_flag()),
        migrations.AddField(model_name='message', name='is_summary', field=_flag()),
    ]
