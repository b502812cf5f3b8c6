from collections.abc import Sequence
from typing import NoReturn

from config import celery_arguments
from config.command.startup import become, nothing_else


def main(arguments: Sequence[str]) -> NoReturn:
    nothing_else(arguments)
    become(*celery_arguments.jobs())
