"""Limits as options of `create_tenant` and `create_api_key`."""

from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import CommandParser

from tenants.models.tier import LIMITS


def add_limit_options(parser: CommandParser) -> None:
    for name in LIMITS:
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=int, metavar="N", help="0: no limit")


def set_options(options: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Returns the options that were set; the others keep their defaults."""
    return {name: options[name] for name in names if options[name] is not None}


def days(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 3650):
        raise ArgumentTypeError("must be a whole number from 1 to 3650")
    return int(text)
