import platform
from collections.abc import Sequence

from config.command.startup import nothing_else
from infrastructure import release


def main(arguments: Sequence[str]) -> None:
    nothing_else(arguments)
    print(f"forebay {release.VERSION}, Python {platform.python_version()}")
