import platform
from collections.abc import Sequence

from config.command.becoming import nothing_else
from config.metrics.process import version


def main(arguments: Sequence[str]) -> None:
    nothing_else(arguments)
    print(f"forebay {version()}, Python {platform.python_version()}")
