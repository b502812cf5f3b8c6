from collections.abc import Sequence
from typing import NoReturn

from config import celery_arguments, environment
from config.command.process_replacement import become, refuse_arguments


def main(arguments: Sequence[str]) -> NoReturn:
    refuse_arguments(arguments)
    (environment.HOME / "run").mkdir(mode=0o700, parents=True, exist_ok=True)
    become(*celery_arguments.beat())
