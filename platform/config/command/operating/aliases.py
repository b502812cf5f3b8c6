"""`forebay aliases`: names of a tenant for the models of a running platform."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from urllib.parse import quote

from config.command.operating.api_client import KEY, OF_TENANT, ApiClient, Row, Trouble
from config.command.operating.program import Program, Result, differing, fields, outcome, table

_COLUMNS = {"ALIAS": "name", "MODEL": "model", "STATE": "state", "CHANGED": "changed_at"}


def aliases(arguments: Sequence[str]) -> int:
    text = "The aliases of a tenant, with a key of the tenant or an operator key."
    program = Program("aliases", text, OF_TENANT, KEY)
    program.shows("list", _list, "a tenant's aliases").add_argument("tenant")
    _add_subject(program.shows("show", _show, "an alias"))
    setting = program.acts("set", _set, "the model behind a name, if it is another one")
    _add_subject(setting)
    setting.add_argument("model", help="a served model, or an adapter BASE:NAME")
    _add_subject(program.acts("remove", _remove, "refuse requests to the name"))
    return program.main(arguments)


def _add_subject(parser: ArgumentParser) -> None:
    parser.add_argument("tenant")
    parser.add_argument("alias")


def _path(typed: Namespace) -> str:
    return f"tenants/{quote(typed.tenant, safe='')}/aliases/"


def _list(link: ApiClient, typed: Namespace) -> Result:
    return table(link.rows(_path(typed), ordering="name"), _COLUMNS)


def _show(link: ApiClient, typed: Namespace) -> Result:
    if row := _row(link, typed):
        return fields(row)
    raise Trouble(f"{typed.tenant} has no alias {typed.alias}")


def _set(link: ApiClient, typed: Namespace) -> Result:
    before = _row(link, typed)
    if before and before["model"] == typed.model:
        return outcome("alias", typed.alias, "unchanged", before)
    wanted = {"model": typed.model}
    differences = differing(before or {}, wanted)
    if typed.dry_run:
        did = "would be changed" if before else "would be created"
        return outcome("alias", typed.alias, did, before, differences)
    if before is None:
        row = link.send("POST", _path(typed), {"name": typed.alias, **wanted}).body
        return outcome("alias", typed.alias, "created", row)
    path = f"{_path(typed)}{before['id']}/"
    row = link.send("PATCH", path, wanted, link.get(path).etag).body
    return outcome("alias", typed.alias, "changed", row, differences)


def _remove(link: ApiClient, typed: Namespace) -> Result:
    row = _row(link, typed)
    if row is None:
        return outcome("alias", typed.alias, "unchanged, there is none", None)
    if typed.dry_run:
        return outcome("alias", typed.alias, "would be removed", row)
    path = f"{_path(typed)}{row['id']}/"
    link.send("DELETE", path, etag=link.get(path).etag)
    return outcome("alias", typed.alias, "removed", row)


def _row(link: ApiClient, typed: Namespace) -> Row | None:
    return next(iter(link.rows(_path(typed), name=typed.alias)), None)
