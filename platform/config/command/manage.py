import os
import sys
from collections.abc import Sequence

from django.core.management import execute_from_command_line


def main(arguments: Sequence[str]) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("FOREBAY_DATABASE_SCOPE", "system")
    sys.argv = ["forebay manage", *arguments]
    execute_from_command_line(sys.argv)
