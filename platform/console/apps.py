import logging

from django.apps import AppConfig
from django.conf import settings

log = logging.getLogger(__name__)


class ConsoleConfig(AppConfig):
    name = "console"
    label = "platform"

    def ready(self) -> None:
        if settings.SECOND_FACTOR == "optional":
            log.warning("FOREBAY_MFA=optional: a password alone opens the console. For trials only")
