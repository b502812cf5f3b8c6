"""`forebay aliases`: names of a tenant for the models of a running platform."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from config.command.operating.api_client import KEY, OF_TENANT, ApiClient
from config.command.operating.collection import Collection
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


def _aliases(link: ApiClient, typed: Namespace) -> Collection:
    return Collection.of_tenant(link, typed.tenant, "aliases", "alias")


def _list(link: ApiClient, typed: Namespace) -> Result:
    return table(link.rows(_aliases(link, typed).path, ordering="name"), _COLUMNS)


def _show(link: ApiClient, typed: Namespace) -> Result:
    return fields(_aliases(link, typed).row(typed.alias))


def _set(link: ApiClient, typed: Namespace) -> Result:
    aliases = _aliases(link, typed)
    before, wanted = aliases.find(typed.alias), {"model": typed.model}
    if before and before["model"] == typed.model:
        return outcome("alias", typed.alias, "unchanged", before)
    differences = differing(before or {}, wanted)
    if typed.dry_run:
        did = "would be changed" if before else "would be created"
        return outcome("alias", typed.alias, did, before, differences)
    if before is None:
        return outcome("alias", typed.alias, "created", aliases.add(name=typed.alias, **wanted))
    path = aliases.path_of(before)
    row = link.send("PATCH", path, wanted, link.get(path).etag).body
    return outcome("alias", typed.alias, "changed", row, differences)


def _remove(link: ApiClient, typed: Namespace) -> Result:
    return _aliases(link, typed).remove_if_any(typed.alias, dry_run=typed.dry_run)
