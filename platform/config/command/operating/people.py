"""`forebay people`: people who are no members of a running platform, by their reference."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from urllib.parse import quote

from config.command.operating.api_client import OF_TENANT, ApiClient, Row
from config.command.operating.program import Program, Result, fields, outcome, table

STDIN = "-"
_COLUMNS = {"REQUEST": "id", "MODE": "mode", "STATE": "state", "DUE": "due_at"}


def people(arguments: Sequence[str]) -> int:
    text = "People whom a tenant's data is about, with a key of the tenant. Requests wait until a "
    program = Program("people", text + "person approves them.", OF_TENANT)
    _add_subject(program.shows("find", _find, "a person's pseudonym, and how much is stored"))
    _add_subject(program.shows("requests", _requests, "deletion requests about a person"))
    _add_subject(program.acts("erase", _erase, "ask for a person's data to be erased"))
    _add_subject(program.acts("restrict", _restrict, "ask that nobody uses a person's data"))
    return program.main(arguments)


def _add_subject(parser: ArgumentParser) -> None:
    parser.add_argument("tenant")
    parser.add_argument("reference", help="your own of the person; -: read from standard input")


def _path(typed: Namespace) -> str:
    return f"tenants/{quote(typed.tenant, safe='')}/"


def _person(link: ApiClient, typed: Namespace) -> Row:
    """Returns the person. Raises Trouble if nobody is known by the reference."""
    if typed.reference == STDIN:
        typed.reference = sys.stdin.readline().rstrip("\n")
    person = link.send("POST", f"{_path(typed)}people/find/", {"reference": typed.reference})
    return person.body or {}


def _find(link: ApiClient, typed: Namespace) -> Result:
    return fields(_person(link, typed))


def _requests(link: ApiClient, typed: Namespace) -> Result:
    subject = _person(link, typed)["id"]
    return table(link.rows(f"{_path(typed)}deletion-requests/", subject=subject), _COLUMNS)


def _erase(link: ApiClient, typed: Namespace) -> Result:
    return _asked(link, typed, "erase")


def _restrict(link: ApiClient, typed: Namespace) -> Result:
    return _asked(link, typed, "restrict")


def _asked(link: ApiClient, typed: Namespace, mode: str) -> Result:
    person = _person(link, typed)
    if typed.dry_run:
        return outcome("person", person["id"], f"would be asked to {mode}", person)
    body = {"subject": person["id"], "mode": mode}
    row = (link.send("POST", f"{_path(typed)}deletion-requests/", body)).body or {}
    return outcome("person", person["id"], f"asked to {mode}: {row['state']}", row)
