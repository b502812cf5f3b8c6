"""The platform's settings, with the long work of tests/inference/counting.py."""

from django.apps import AppConfig

from config.settings import *  # noqa: F403  # as a project with an app of its own has it
from config.settings import INSTALLED_APPS


class CountingConfig(AppConfig):
    """Text completions of vip tenants are counts here."""

    name = "tests.e2e"
    label = "counting"

    def ready(self) -> None:
        from inference import classes
        from tests.inference import counting

        counting.register()
        classes.ALWAYS.insert(0, ("vip", "/v1/completions", counting.COUNT.name))


INSTALLED_APPS.append(f"{__name__}.CountingConfig")
