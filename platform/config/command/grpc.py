from collections.abc import Sequence
from typing import NoReturn

from config.command.startup import become, drain_well, nothing_else


def main(arguments: Sequence[str]) -> NoReturn:
    nothing_else(arguments)
    drain_well()
    become("config.grpc_server")
