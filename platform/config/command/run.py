from collections.abc import Sequence
from typing import NoReturn

from config.command.process_replacement import become


def main(arguments: Sequence[str]) -> NoReturn:
    become("config.supervisor", *arguments)
