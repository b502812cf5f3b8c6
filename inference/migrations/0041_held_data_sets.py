from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('inference', '0040_lending'),
    ]

    operations = [
        migrations.AlterField(
            model_name='datasetnotice',
            name='kind',
            field=models.CharField(choices=[('purged', 'Rows of an erased person are gone'), ('emptied', 'Emptied: it was made from rows of an erased person'), ('held', 'Out of use: made from rows of an erased person, kept for a legal hold'), ('model', 'A model was trained on data of an erased person')], max_length=8),
        ),
        migrations.AlterField(
            model_name='datasetversion',
            name='state',
            field=models.CharField(choices=[('uploading', 'Being uploaded'), ('importing', 'Being read'), ('ready', 'Ready'), ('failed', 'Failed'), ('emptied', 'Emptied by an erasure'), ('held', 'Out of use after an erasure, kept for a legal hold'), ('deleted', 'Deleted')], max_length=10),
        ),
    ]
