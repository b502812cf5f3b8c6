from django.apps import AppConfig
from django.core.checks import Tags, register


class AuditConfig(AppConfig):
    name = "audit"

    def ready(self) -> None:
        from audit import exports, own_erasers, portability, self_check, tombstones

        exports.register()
        own_erasers.register_own()
        portability.register_own()
        register(tombstones.check, Tags.database)
        register(self_check.catalogue, Tags.database)
