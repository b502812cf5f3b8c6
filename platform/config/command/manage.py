import os
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("FOREBAY_DATABASE_SCOPE", "system")
    from config.command.management_commands import execute  # not before the two lines above

    execute(["forebay manage", *arguments])
