"""`forebay limits`: the limits of tenants and tiers of a running platform."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from config.command.operating.api_client import ApiClient, Misuse
from config.command.operating.program import (
    Program,
    Result,
    differing,
    fields,
    number_or,
    outcome,
    table,
    typed_fields,
)

TIER = "tier"  # in place of a figure: the one of the tenant's tier
_FIGURES = (
    "requests_per_minute",
    "burst",
    "tokens_per_minute",
    "max_concurrency",
    "megabytes_in_flight",
    "megabytes_per_day",
)


def limits(arguments: Sequence[str]) -> int:
    program = Program("limits", "Limits of a running platform, with an operator key. 0: no limit.")
    program.shows("list", _list, "what each tier gives its tenants")
    _add_subject(program.shows("show", _show, "the limits of a tenant, or of a tier"))
    setting = program.acts("set", _set, "change some of them, if they are others")
    _add_subject(setting)
    setting.add_argument("--weight", type=int, help="of a tier: its share against a standard one's")
    for name in _FIGURES:
        option = f"--{name.replace('_', '-')}"
        setting.add_argument(
            option, type=number_or(TIER), help=f"a number; of a tenant also `{TIER}`"
        )
    return program.main(arguments)


def _add_subject(parser: ArgumentParser) -> None:
    parser.add_argument("tenant", nargs="?")
    parser.add_argument("--tier", metavar="NAME", help="in place of a tenant")


def _list(link: ApiClient, typed: Namespace) -> Result:
    names = ("tier", "weight", *_FIGURES)
    return table(link.get("tiers/").body["results"], dict(zip(names, names, strict=True)))


def _show(link: ApiClient, typed: Namespace) -> Result:
    return fields(link.get(_path(typed)).body)


def _set(link: ApiClient, typed: Namespace) -> Result:
    path, wanted = _path(typed), _wanted(typed)
    present = link.get(path)
    name = typed.tenant or f"tier {typed.tier}"
    fresh = {field: value for field, value in wanted.items() if present.body[field] != value}
    if not fresh:
        return outcome("limits", name, "unchanged", present.body)
    differences = differing(present.body, fresh)
    if typed.dry_run:
        return outcome("limits", name, "would be changed", present.body, differences)
    after = link.send("PATCH", path, fresh, present.etag).body
    return outcome("limits", name, "changed", after, differences)


def _path(typed: Namespace) -> str:
    """Returns the API's path of the tenant's or the tier's limits. Raises Misuse."""
    if bool(typed.tenant) == bool(typed.tier):
        raise Misuse("say either a tenant or --tier")
    if typed.tier:
        return f"tiers/{quote(typed.tier, safe='')}/"
    return f"tenants/{quote(typed.tenant, safe='')}/limits/"


def _wanted(typed: Namespace) -> dict[str, Any]:
    """Returns the fields to send. Raises Misuse."""
    values = typed_fields(typed, (*_FIGURES, "weight"))
    if not values:
        raise Misuse("say what to set, such as --requests-per-minute 600")
    if typed.tier and TIER in values.values():
        raise Misuse(f"only a tenant has figures that its {TIER} says")
    if typed.tenant and "weight" in values:
        raise Misuse("a weight is a tier's: say --tier")
    return {name: None if value == TIER else value for name, value in values.items()}
