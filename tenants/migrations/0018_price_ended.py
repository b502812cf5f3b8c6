from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0017_pool_prices'),
    ]

    operations = [
        migrations.AddField(
            model_name='price',
            name='ended',
            field=models.BooleanField(db_default=False, default=False, editable=False),
        ),
    ]
