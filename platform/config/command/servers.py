from collections.abc import Sequence
from typing import NoReturn

from config.command.process_replacement import become, refuse_arguments


def main(arguments: Sequence[str]) -> NoReturn:
    refuse_arguments(arguments)
    become("config.supervisor", "--servers")
