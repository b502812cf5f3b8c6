import django.contrib.postgres.fields
from django.db import migrations, models

# Who made a key stands in its row; who widened or rotated it while it manages or audits, in the
# audit trail (a key's own acts are its maker's). Where neither names anybody it is the platform's.
AS_RECORDED = """
    update tenants_apikey k set grantors = array(
        select 'member:' || k.created_by_id where k.created_by_id is not null
        union
        select who from tenants_apikey line
        join audit_event e on e.tenant_id = k.tenant_id
            and not (e.action in ('completion:received', 'completion:completed'))
            and e.detail ->> 'key' = line.id::text
        left join tenants_apikey acting on 'key:' || acting.id = e.actor
        cross join lateral (select coalesce('member:' || acting.created_by_id, e.actor) as who) w
        where (line.id = k.id or line.replaced_by_id = k.id)
          and k.scopes && array['management:read', 'management:write', 'audit:read']::varchar[]
          and (e.action = 'api_key:rotate' or e.action = 'api_key:change' and e.detail ? 'scopes')
          and who ~ '^(member|user|operator):'
        order by 1)
    where k.revoked_at is null"""


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0003_quota_set_by_platform"),
        ("audit", "0004_deletion_clock"),
    ]

    operations = [
        migrations.AddField(
            model_name="apikey",
            name="grantors",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=80),
                blank=True,
                default=list,
                editable=False,
                size=None,
            ),
        ),
        migrations.RunSQL(AS_RECORDED, migrations.RunSQL.noop),
    ]
