"""The platform's settings, with engines that are lent after seconds of quiet, not minutes."""

from django.apps import AppConfig

from config.settings import *  # noqa: F403  # as a project with an app of its own has it
from config.settings import INSTALLED_APPS

ENERGY_HOLD_S = 40  # a look every other second must not be a gap (inference/energy/peaks.py)


class QuickLending(AppConfig):
    """An engine need not rest for a minute before its server stops."""

    name = "tests.e2e"
    label = "quick_lending"

    def ready(self) -> None:
        from inference.energy import resting

        resting.STOP_AFTER_S = 2.0


INSTALLED_APPS.append(f"{__name__}.QuickLending")
