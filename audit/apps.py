from django.apps import AppConfig
from django.core.checks import Tags, register


class AuditConfig(AppConfig):
    name = "audit"

    def ready(self) -> None:
        from audit.checks import catalogue_check
        from audit.erasure import own_erasers, tombstones
        from audit.exports import portability, trail_export

        trail_export.register()
        own_erasers.register_own()
        portability.register_own()
        register(tombstones.check, Tags.database)
        register(catalogue_check.catalogue, Tags.database)
