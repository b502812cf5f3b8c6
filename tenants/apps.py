from django.apps import AppConfig
from django.core.checks import Tags, register
from django.db.models.signals import post_migrate, pre_migrate


class TenantsConfig(AppConfig):
    name = "tenants"

    def ready(self) -> None:
        from audit.trail import append_only, database_owner
        from tenants import sql_installation
        from tenants.accounts import text_lock
        from tenants.isolation import check
        from tenants.personal_data import erasure, portability, retention

        pre_migrate.connect(
            sql_installation.refuse_if_impossible, dispatch_uid="tenants.sql_installation"
        )
        post_migrate.connect(sql_installation.install, dispatch_uid="tenants.sql_installation")
        retention.register()
        erasure.register_erasers()
        portability.register_portables()
        text_lock.connect()
        append_only.register("tenants_ledgerentry")
        database_owner.register(
            hidden=["tenants_scopekey"],
            read_only=["tenants_schemarelease"],
            read_by_requests=[
                "auth_permission",
                "django_content_type",
                "tenants_price",
                "tenants_tierpolicy",
            ],
            callable_by_requests=[
                "tenants_ledger_mark",
                "tenants_operator_key",
                "tenants_record_own_act",
                "tenants_scope_is_proven",
                "tenants_tenant_of_key",
            ],
        )
        register(check.isolation, Tags.database)
