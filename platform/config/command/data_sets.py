"""`forebay data-sets`: data sets of a tenant of a running platform, with a key of the tenant."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from config.command.operating.api_client import OF_TENANT, ApiClient, Misuse
from config.command.operating.collection import (
    Collection,
    add_name,
    add_tenant,
    size_of,
    upload,
    wait,
)
from config.command.operating.program import Columns, Program, Result, fields, outcome, table

FORMATS = ("chats", "texts", "markdown")
_MOVING = ("uploading", "importing")
_ENDINGS = {".zip": "markdown", ".gz": "markdown", ".tar": "markdown", ".md": "markdown"}
_SETS: Columns = {"name": "name", "versions": "latest", "changed": "changed_at"}
_VERSIONS: Columns = {
    "version": "number",
    "state": "state",
    "from": "origin",
    "rows": "rows",
    "held out": "held_out_rows",
    "people": "people",
    "bytes": "bytes",
    "problem": "problem",
}


def data_sets(arguments: Sequence[str]) -> int:
    text = "Data sets of a tenant. Rows of a person have a field `person`."
    program = Program("data-sets", text, OF_TENANT)
    add_tenant(program.shows("list", _list, "all data sets"))
    add_name(program.shows("show", _show, "the versions of a data set"))
    report = program.shows("report", _report, "the report of a version")
    add_name(report)
    report.add_argument("number", type=int)
    uploading = program.acts("upload", _upload, "a file as a new version; makes the data set, too")
    add_name(uploading)
    uploading.add_argument("file", type=Path)
    uploading.add_argument("--format", choices=FORMATS, help="by default by the file's name")
    uploading.add_argument("--no-wait", action="store_true", help="do not wait until it is read")
    remove = program.acts("remove", _remove, "a data set, or a version of it")
    add_name(remove)
    remove.add_argument("--version", type=int, metavar="NUMBER")
    return program.main(arguments)


# Commands ----------------------------------------------------------------------------------------
def _sets(link: ApiClient, typed: Namespace) -> Collection:
    return Collection.of_tenant(link, typed.tenant, "data-sets", "data set")


def _list(link: ApiClient, typed: Namespace) -> Result:
    return table(link.rows(_sets(link, typed).path), _SETS)


def _show(link: ApiClient, typed: Namespace) -> Result:
    path = _sets(link, typed).row_path(typed.name)
    return table(link.rows(f"{path}versions/"), _VERSIONS)


def _report(link: ApiClient, typed: Namespace) -> Result:
    path = _sets(link, typed).row_path(typed.name)
    return fields(link.get(f"{path}versions/{typed.number}/").body)


def _upload(link: ApiClient, typed: Namespace) -> Result:
    form = typed.format or _ENDINGS.get(typed.file.suffix.lower())
    if form is None:
        raise Misuse(f"say --format: {' or '.join(FORMATS)}")
    size, sets = size_of(typed.file), _sets(link, typed)
    present = sets.find(typed.name)
    if typed.dry_run:
        return outcome("data set", typed.name, f"would get {size} bytes", present)
    versions = f"{sets.path_of(present or sets.add(name=typed.name))}versions/"
    number = link.send("POST", versions, {"format": form}).body["number"]
    version = upload(link, f"{versions}{number}/", typed.file)
    if not typed.no_wait:
        version = wait(link, f"{versions}{number}/", _MOVING)
    return outcome("data set", f"{typed.name}@{number}", version["state"], version)


def _remove(link: ApiClient, typed: Namespace) -> Result:
    sets = _sets(link, typed)
    path, name = sets.row_path(typed.name), typed.name
    if typed.version:
        path, name = f"{path}versions/{typed.version}/", f"{name}@{typed.version}"
    return sets.remove(name, path, dry_run=typed.dry_run)
