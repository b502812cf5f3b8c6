from django.apps import AppConfig
from django.core.checks import Tags, register
from django.db.models.signals import post_migrate


class TenantsConfig(AppConfig):
    name = "tenants"

    def ready(self) -> None:
        from tenants import isolation_check, schema

        post_migrate.connect(schema.put_in_place, dispatch_uid="tenants.schema")
        register(isolation_check.isolation, Tags.database)
