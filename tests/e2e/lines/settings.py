"""The platform's settings, with a front end beside its own."""

from django.apps import AppConfig

from config.settings import *  # noqa: F403  # as a project with an app of its own has it
from config.settings import INSTALLED_APPS


class LinesConfig(AppConfig):
    name = "tests.e2e.lines"

    def ready(self) -> None:
        from config.http import front_ends
        from tests.e2e.lines.front_end import router

        front_ends.ROUTERS.append(router)


INSTALLED_APPS.append(f"{__name__}.LinesConfig")
