from collections.abc import Sequence
from typing import NoReturn

from config import celery_arguments, environment
from config.command.startup import become, nothing_else


def main(arguments: Sequence[str]) -> NoReturn:
    nothing_else(arguments)
    (environment.HOME / "run").mkdir(mode=0o700, parents=True, exist_ok=True)
    become(*celery_arguments.beat())
