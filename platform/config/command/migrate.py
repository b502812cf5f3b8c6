from collections.abc import Sequence

from config.command import manage


def main(arguments: Sequence[str]) -> None:
    manage.main(["migrate", "--noinput", *arguments])
