from collections.abc import Sequence
from typing import NoReturn

from config.command.process_replacement import become, drain_long, refuse_arguments


def main(arguments: Sequence[str]) -> NoReturn:
    refuse_arguments(arguments)
    drain_long()
    become("config.grpc_server")
