"""`forebay pools`: the pools of a running platform, each a queue of one model."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any

from config.command.operating.api_client import Row
from config.command.operating.program import Program, json_object, typed_fields
from config.command.operating.registry_commands import Kind

_FIELDS = ("model", "position", "condition", "overflow_after_ms", "limits", "window")


def main(arguments: Sequence[str]) -> int:
    program = Program("pools", "The pools of a running platform, with an operator key.")
    listing = program.shows("list", POOLS.list, "all pools, or those of a model")
    listing.add_argument("--model", metavar="NAME")
    program.shows("show", POOLS.show, "one pool").add_argument("name")
    _options(program.acts("add", POOLS.add, "a new pool; refused where there is one"))
    _options(program.acts("change", POOLS.change, "a pool that is there"))
    _options(program.acts("set", POOLS.set, "add it or change it, as it takes"))
    removal = "and its engines; fine where there is none"
    program.acts("remove", POOLS.remove, removal).add_argument("name")
    return program.main(arguments)


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("name")
    parser.add_argument("--model", metavar="NAME", help="the model that it serves")
    parser.add_argument("--position", type=int, help="when it is tried: the lowest first")
    parser.add_argument("--condition", help="always, overflow or failover")
    parser.add_argument(
        "--overflow-after-ms", type=int, metavar="MS", help="the wait from which on it overflows"
    )
    parser.add_argument("--limits", type=json_object, metavar="JSON", help="or @FILE")
    parser.add_argument("--window", type=json_object, metavar="JSON", help="or @FILE")


def _wanted(typed: Namespace, before: Row) -> dict[str, Any]:
    return typed_fields(typed, _FIELDS)


POOLS = Kind(
    noun="pool",
    path="pools/",
    columns={
        "NAME": lambda row: row["name"],
        "MODEL": lambda row: row["model"],
        "POSITION": lambda row: row["position"],
        "CONDITION": lambda row: row["condition"],
        "ENGINES": lambda row: ", ".join(row["engines"]),
        "FROM FILE": lambda row: row["from_file"],
    },
    wanted=_wanted,
    needed=("model",),
)
