import platform
from collections.abc import Sequence

from audit import release
from config.command.becoming import nothing_else


def main(arguments: Sequence[str]) -> None:
    nothing_else(arguments)
    print(f"forebay {release.VERSION}, Python {platform.python_version()}")
