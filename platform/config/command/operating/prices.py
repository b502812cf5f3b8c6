"""`forebay prices`: what the models of a running platform cost, per million tokens."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import Any

from config.command.operating.api_client import ApiClient, Misuse, Row, Trouble
from config.command.operating.program import (
    Program,
    Result,
    differing,
    fields,
    outcome,
    table,
    typed_fields,
)

_AMOUNTS = ("prompt", "cached", "completion")
_OPTIONAL = ("gpu_hour", "peak_hours", "peak_factor")
_COLUMNS = {
    **{name.upper(): name for name in ("model", "pool", *_AMOUNTS)},
    "GPU-HOUR": "gpu_hour",
    "PEAK HOURS (UTC)": "peak_hours",
    "TIMES": "peak_factor",
    "SINCE": "since",
}
_PLACES = Decimal("0.0001")


def prices(arguments: Sequence[str]) -> int:
    program = Program("prices", "The prices of a running platform, with an operator key.")
    listing = program.shows("list", _list, "the prices in force, or all so far")
    listing.add_argument("--model", metavar="NAME")
    listing.add_argument("--all", action="store_true", help="those of the past too")
    _add_subject(
        program.shows("show", _show, "the price in force of a model, or of one of its pools")
    )
    setting = program.acts("set", _set, "the price from now on, if it is another one")
    _add_subject(setting)
    for name in _AMOUNTS:
        setting.add_argument(f"--{name}", type=_decimal, help="per million tokens")
    setting.add_argument("--gpu-hour", type=_decimal, help="per GPU-hour of jobs")
    setting.add_argument("--peak-hours", help="in UTC, such as 'Mon-Fri 01:00-04:00'")
    setting.add_argument("--peak-factor", type=_decimal, help="by which all are multiplied")
    ending = "a pool's own price: from now on it costs what its model does"
    _add_subject(program.acts("end", _end, ending))
    return program.main(arguments)


def _add_subject(parser: ArgumentParser) -> None:
    parser.add_argument("model")
    parser.add_argument("--pool", default="", metavar="NAME", help="with a price of its own")


def _decimal(text: str) -> str:
    """Returns an amount as the API writes it, with four places; rounds none, not even to free."""
    with suppress(InvalidOperation):
        amount = Decimal(text)
        if (written := amount.quantize(_PLACES)) == amount:
            return str(written)
    raise ArgumentTypeError(f"{text!r} is no amount with at most four places, such as 0.55")


def _list(link: ApiClient, typed: Namespace) -> Result:
    rows = link.rows("prices/", model=typed.model)
    return table(rows if typed.all else _in_force(rows), _COLUMNS)


def _show(link: ApiClient, typed: Namespace) -> Result:
    price = _price_in_force(link, typed)
    if price is None:
        raise Trouble(
            f"{_subject_name(typed)} has no price: it is free of charge, or costs as its model"
        )
    return fields(price)


def _set(link: ApiClient, typed: Namespace) -> Result:
    before = _price_in_force(link, typed)
    wanted = typed_fields(typed, (*_AMOUNTS, *_OPTIONAL))
    same = {name: (before or {}).get(name) for name in (*_AMOUNTS, *_OPTIONAL)}
    body = {**{name: value for name, value in same.items() if value is not None}, **wanted}
    if missing := [name for name in _AMOUNTS if name not in body]:
        options = ", ".join(f"--{name}" for name in missing)
        raise Misuse(f"{_subject_name(typed)} has no price yet: say {options}")
    if before and all(before[name] == value for name, value in body.items()):
        return outcome("price", _subject_name(typed), "unchanged", before)
    differences = differing(before or {}, body)
    if typed.dry_run:
        return outcome("price", _subject_name(typed), "would be set", before, differences)
    after = link.send("POST", "prices/", {"model": typed.model, "pool": typed.pool, **body}).body
    return outcome("price", _subject_name(typed), "set", after, differences)


def _end(link: ApiClient, typed: Namespace) -> Result:
    if not typed.pool:
        raise Misuse("say --pool: only a pool's own price ends; a model's is set to another one")
    before = _price_in_force(link, typed)
    if before is None:
        return outcome("price", _subject_name(typed), "unchanged, it has none", None)
    if typed.dry_run:
        return outcome("price", _subject_name(typed), "would be ended", before)
    after = link.send("POST", f"prices/{before['id']}/end/", {}).body
    return outcome("price", _subject_name(typed), "ended", after)


def _price_in_force(link: ApiClient, typed: Namespace) -> Row | None:
    rows = _in_force(link.rows("prices/", model=typed.model))
    subject = typed.model, typed.pool
    return next((row for row in rows if (row["model"], row["pool"]) == subject), None)


def _in_force(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield the latest price of each model and pool, unless it has ended.

    The latest rows come first.
    """
    subjects = set[tuple[Any, Any]]()
    for row in rows:
        subject = row["model"], row["pool"]
        if subject not in subjects and not row["ended"]:
            yield row
        subjects.add(subject)


def _subject_name(typed: Namespace) -> str:
    return f"{typed.model} in {typed.pool}" if typed.pool else str(typed.model)
