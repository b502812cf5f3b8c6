"""`forebay models versions`, `import`, `promote` and the like: versions in the registry.

A version is called by its id, or by NAME@NUMBER, the platform's own, or by TENANT/NAME@NUMBER.
"""

from argparse import ArgumentParser, Namespace
from contextlib import suppress
from typing import Any
from uuid import UUID

from config.command.operating.api_client import ApiClient, Row, Trouble
from config.command.operating.program import (
    Columns,
    Program,
    Result,
    fields,
    json_object,
    outcome,
    table,
    typed_fields,
)

PATH, NOUN = "model-versions/", "version"
KINDS = ("base", "full", "adapter", "quantised", "distilled", "calibrator")
_COLUMNS: Columns = {
    "VERSION": lambda row: f"{row['name']}@{row['number']}",
    "TENANT": "tenant",
    "KIND": "kind",
    "FORMAT": "format",
    "DTYPE": "dtype",
    "BYTES": "size",
    "LICENCE": "licence",
    "STATE": "state",
    "ENGINES": "served_by",
    "ID": "id",
}
_SOURCE = ("url", "sha256", "revision", "path")
_SWITCH = ("url", "options", "keeps_old")


def add_commands(program: Program) -> None:
    """Add the commands of versions to `forebay models`."""
    listing = program.shows("versions", _list, "versions of models in the registry")
    listing.add_argument("--tenant", metavar="NAME")
    listing.add_argument("--name")
    program.shows("version", _show, "one version, with its lineage").add_argument(NOUN)
    importing = program.acts("import", _import, "a version of the platform, from a source")
    importing.add_argument("name")
    _add_source(importing)
    promoting = program.acts("promote", _promote, "let an engine serve a version, if its gates do")
    promoting.add_argument(NOUN)
    promoting.add_argument("--engine", required=True, metavar="NAME", help="whose place it takes")
    promoting.add_argument("--url", help="of a server that has the version; else Forebay starts it")
    promoting.add_argument("--options", type=json_object, metavar="JSON", help="or @FILE")
    promoting.add_argument(
        "--keep-old", dest="keeps_old", action="store_true", help="for a rollback"
    )
    rolling = program.acts("rollback", _roll_back, "let the engine before serve again")
    rolling.add_argument("engine", help="the one that serves now")
    program.acts("delete-version", _delete, "with its files").add_argument(NOUN)


def _add_source(parser: ArgumentParser) -> None:
    parser.add_argument("--from", dest="type", choices=("folder", "https", "git"), required=True)
    parser.add_argument("--kind", choices=KINDS, default="base")
    parser.add_argument("--url", help="of a file, an archive or a repository, https://…")
    parser.add_argument("--sha256", help="of the file at the url")
    parser.add_argument("--revision", help="a branch, a tag or the id of a commit")
    parser.add_argument("--path", help="in a folder of FOREBAY_MODELS, or in the repository")
    parser.add_argument("--licence")
    parser.add_argument("--parent", dest="parents", action="append", metavar=NOUN.upper())


def _parts(text: str) -> tuple[str, str, int]:
    """Returns tenant ("": the platform), name and number of a version. Raises Trouble."""
    before, at, number = text.rpartition("@")
    tenant, _slash, name = before.rpartition("/")
    if not (at and name and number.isdecimal()):
        raise Trouble(f"{text!r} is no version: its id, NAME@2 or TENANT/NAME@2")
    return tenant, name, int(number)


def _row(link: ApiClient, text: str) -> Row:
    """Returns the version of an id or a name. Raises Trouble."""
    with suppress(ValueError):
        return dict(link.get(f"{PATH}{UUID(text)}/").body)
    tenant, name, number = _parts(text)
    for row in link.rows(PATH, name=name):
        if (row["tenant"] or "", row["number"]) == (tenant, number):
            return row
    raise Trouble(f"there is no version {text}: `versions` shows those that there are")


def _list(link: ApiClient, typed: Namespace) -> Result:
    return table(link.rows(PATH, **typed_fields(typed, ("tenant", "name"))), _COLUMNS)


def _show(link: ApiClient, typed: Namespace) -> Result:
    return fields(_row(link, typed.version))


def _import(link: ApiClient, typed: Namespace) -> Result:
    source = {"type": typed.type, **typed_fields(typed, _SOURCE)}
    body: dict[str, Any] = {"name": typed.name, "kind": typed.kind, "source": source}
    body |= typed_fields(typed, ("licence",))
    body["parents"] = [_row(link, each)["id"] for each in typed.parents or ()]
    if typed.dry_run:
        return outcome(NOUN, typed.name, "would be imported", body)
    row = link.send("POST", PATH, body).body
    return outcome(NOUN, f"{row['name']}@{row['number']}", "is being imported", row)


def _promote(link: ApiClient, typed: Namespace) -> Result:
    row, engine = _row(link, typed.version), _engine(link, typed.engine)
    body = {"engine": engine["id"], **typed_fields(typed, _SWITCH)}
    if typed.dry_run:
        return outcome(NOUN, typed.version, f"would take the place of {typed.engine}", body)
    after = link.send("POST", f"{PATH}{row['id']}/promote/", body).body
    return outcome(NOUN, typed.version, f"is loaded as {after['new']}", after)


def _roll_back(link: ApiClient, typed: Namespace) -> Result:
    rows = (row for row in link.rows("replacements/") if row["new"] == typed.engine)
    if (row := next(rows, None)) is None:
        raise Trouble(f"engine {typed.engine} has taken no other's place")
    if typed.dry_run:
        return outcome("engine", row["old"], "would serve again", row)
    after = link.send("POST", f"replacements/{row['id']}/rollback/", {}).body
    return outcome("engine", row["old"], "serves again", after)


def _delete(link: ApiClient, typed: Namespace) -> Result:
    row = _row(link, typed.version)
    if typed.dry_run:
        return outcome(NOUN, typed.version, "would be deleted", row)
    answer = link.get(f"{PATH}{row['id']}/")
    link.send("DELETE", f"{PATH}{row['id']}/", etag=answer.etag)
    return outcome(NOUN, typed.version, "deleted", row)


def _engine(link: ApiClient, name: str) -> Row:
    row = next((row for row in link.rows("engines/", name=name) if row["name"] == name), None)
    if row is None:
        raise Trouble(f"there is no engine {name}: `forebay engines list` shows them")
    return row
