"""`forebay engines`: the engines of a running platform."""

import json
import sys
from argparse import ArgumentParser, ArgumentTypeError, BooleanOptionalAction, Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from config.command.operating.api_client import Misuse, Row
from config.command.operating.program import Program, number_or, typed_fields
from config.command.operating.registry_commands import Kind

AUTO = "auto"
_FIELDS = ("pool", "kind", "url", "slots", "hosted")


def main(arguments: Sequence[str]) -> int:
    program = Program("engines", "The engines of a running platform, with an operator key.")
    listing = program.shows("list", ENGINES.list, "all engines, or those of a pool or a model")
    listing.add_argument("--pool", metavar="NAME")
    listing.add_argument("--model", metavar="NAME")
    program.shows("show", ENGINES.show, "one engine").add_argument("name")
    _options(program.acts("add", ENGINES.add, "a new engine; refused where there is one"))
    _options(program.acts("change", ENGINES.change, "an engine that is there"))
    _options(program.acts("set", ENGINES.set, "add it or change it, as it takes"))
    removal = "finishes what it has begun; fine where there is none"
    program.acts("remove", ENGINES.remove, removal).add_argument("name")
    drain = partial(ENGINES.switch, act="drain", field="draining", to=True)
    program.acts("drain", drain, "takes no new requests").add_argument("name")
    resume = partial(ENGINES.switch, act="resume", field="draining", to=False)
    program.acts("resume", resume, "takes requests again").add_argument("name")
    return program.main(arguments)


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("name")
    parser.add_argument("--pool", metavar="NAME", help="the pool that it is in")
    parser.add_argument("--kind", help="such as vllm, sglang, llama_cpp")
    parser.add_argument("--url", help="such as http://gpu-1:8000/v1")
    parser.add_argument("--slots", type=number_or(AUTO), help=f"answers at once, or {AUTO}")
    parser.add_argument("--hosted", action=BooleanOptionalAction, help="somebody else's machine")
    parser.add_argument(
        "--option",
        dest="options",
        type=_option,
        action="append",
        metavar="NAME=VALUE",
        help="as in FOREBAY_ENGINES, repeatable; VALUE is JSON or a text, null takes it out",
    )
    parser.add_argument(
        "--api-key-file", metavar="FILE", help="with the key of the server; - for standard input"
    )


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ArgumentTypeError("it is written NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _wanted(typed: Namespace, before: Row) -> dict[str, Any]:
    fields = typed_fields(typed, _FIELDS)
    if typed.options:
        merged = {**before.get("options", {}), **dict(typed.options)}
        fields["options"] = {name: value for name, value in merged.items() if value is not None}
    if typed.api_key_file:
        fields["api_key"] = _text_of(typed.api_key_file)
    return fields


def _text_of(file: str) -> str:
    try:
        return (sys.stdin.read() if file == "-" else Path(file).read_text()).strip()
    except (OSError, UnicodeDecodeError) as problem:
        raise Misuse(f"--api-key-file: {problem}") from None


def _as_shown(row: Row) -> Row:
    return {**row, "slots": AUTO if row["auto_slots"] else row["slots"]}


ENGINES = Kind(
    noun="engine",
    path="engines/",
    columns={
        "NAME": lambda row: row["name"],
        "MODEL": lambda row: row["model"],
        "POOL": lambda row: row["pool"],
        "KIND": lambda row: row["kind"],
        "STATE": lambda row: row["state"],
        "SLOTS": lambda row: f"{row['slots']}{' (auto)' if row['auto_slots'] else ''}",
        "HOSTED": lambda row: row["hosted"],
        "FROM FILE": lambda row: row["from_file"],
        "URL": lambda row: row["url"],
    },
    wanted=_wanted,
    needed=("pool", "kind"),
    as_shown=_as_shown,
)
