"""`forebay models`: the models of a running platform. One is served once a pool has an engine."""

from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from config.command.operating.api_client import Row
from config.command.operating.program import Program
from config.command.operating.registry_commands import Kind


def main(arguments: Sequence[str]) -> int:
    program = Program("models", "The models of a running platform, with an operator key.")
    program.shows("list", MODELS.list, "all models")
    program.shows("show", MODELS.show, "one model").add_argument("name")
    program.acts("add", MODELS.add, "a new model; refused where it is").add_argument("name")
    program.acts("set", MODELS.set, "add it where it is not").add_argument("name")
    removal = "with its pools and engines; fine where there is none"
    program.acts("remove", MODELS.remove, removal).add_argument("name")
    return program.main(arguments)


def _wanted(typed: Namespace, before: Row) -> dict[str, Any]:
    return {}


MODELS = Kind(
    noun="model",
    path="models/",
    columns={
        "NAME": lambda row: row["name"],
        "POOLS": lambda row: ", ".join(row["pools"]),
        "FROM FILE": lambda row: row["from_file"],
    },
    wanted=_wanted,
    needed=(),
)
