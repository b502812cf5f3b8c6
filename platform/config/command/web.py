import argparse
import os
from collections.abc import Sequence
from typing import NoReturn

from config.command.metrics_port import add_option, take
from config.command.process_replacement import become, drain_long


def main(arguments: Sequence[str]) -> NoReturn:
    parser = argparse.ArgumentParser("forebay web", description=__doc__)
    add_option(parser)
    number = os.environ.get("FOREBAY_PROCESS_NUMBER", "")
    take(parser.parse_args(arguments), "web", int(number) if number.isdecimal() else 1)
    drain_long()
    become("config.web_server")
