from django.apps import AppConfig
from django.core.checks import Tags, register


class AuditConfig(AppConfig):
    name = "audit"

    def ready(self) -> None:
        from audit import exports, own_erasers, portable_acts, self_check, tombstones

        exports.register()
        own_erasers.register_own()
        portable_acts.register_own()
        register(tombstones.check, Tags.database)
        register(self_check.catalogue, Tags.database)
