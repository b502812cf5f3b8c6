import platform
from collections.abc import Sequence

from config.command.process_replacement import refuse_arguments
from infrastructure import release


def main(arguments: Sequence[str]) -> None:
    refuse_arguments(arguments)
    print(f"forebay {release.VERSION}, Python {platform.python_version()}")
