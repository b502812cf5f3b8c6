"""`forebay data-sets`: data sets of a tenant of a running platform, with a key of the tenant."""

import base64
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from config.command.operating.api_client import OF_TENANT, ApiClient, Misuse, Row, Trouble
from config.command.operating.program import Columns, Program, Result, fields, outcome, table

PIECE = 700_000  # bytes of a file in one call
LOOK_EVERY_S = 1.0
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
    _of_tenant(program.shows("list", _list, "all data sets"))
    _named(program.shows("show", _show, "the versions of a data set"))
    report = program.shows("report", _report, "the report of a version")
    _named(report)
    report.add_argument("number", type=int)
    upload = program.acts("upload", _upload, "a file as a new version; makes the data set, too")
    _named(upload)
    upload.add_argument("file", type=Path)
    upload.add_argument("--format", choices=FORMATS, help="by default by the file's name")
    upload.add_argument("--no-wait", action="store_true", help="do not wait until it is read")
    remove = program.acts("remove", _remove, "a data set, or a version of it")
    _named(remove)
    remove.add_argument("--version", type=int, metavar="NUMBER")
    return program.main(arguments)


def _of_tenant(parser: ArgumentParser) -> None:
    parser.add_argument("--tenant", metavar="NAME", help="by default the key's own")


def _named(parser: ArgumentParser) -> None:
    _of_tenant(parser)
    parser.add_argument("name")


# Commands ----------------------------------------------------------------------------------------
def _list(link: ApiClient, typed: Namespace) -> Result:
    return table(link.rows(_path(link, typed)), _SETS)


def _show(link: ApiClient, typed: Namespace) -> Result:
    return table(link.rows(f"{_require(link, typed)}versions/"), _VERSIONS)


def _report(link: ApiClient, typed: Namespace) -> Result:
    return fields(link.get(f"{_require(link, typed)}versions/{typed.number}/").body)


def _upload(link: ApiClient, typed: Namespace) -> Result:
    form = typed.format or _ENDINGS.get(typed.file.suffix.lower())
    if form is None:
        raise Misuse(f"say --format: {' or '.join(FORMATS)}")
    try:
        size = typed.file.stat().st_size
    except OSError as problem:
        raise Misuse(f"{typed.file}: {problem.strerror}") from None
    present = _find(link, typed)
    if typed.dry_run:
        return outcome("data set", typed.name, f"would get {size} bytes", present)
    place = _place(link, typed, present or _add(link, typed))
    version = _send(link, place, typed.file, form)
    if not typed.no_wait:
        version = _wait(link, f"{place}versions/{version['number']}/")
    return outcome("data set", f"{typed.name}@{version['number']}", version["state"], version)


def _remove(link: ApiClient, typed: Namespace) -> Result:
    place = _require(link, typed)
    place, name = (
        (f"{place}versions/{typed.version}/", f"{typed.name}@{typed.version}")
        if typed.version
        else (place, typed.name)
    )
    present = link.get(place)
    if typed.dry_run:
        return outcome("data set", name, "would be removed", present.body)
    link.send("DELETE", place, etag=present.etag)
    return outcome("data set", name, "removed", present.body)


# Steps -------------------------------------------------------------------------------------------
def _path(link: ApiClient, typed: Namespace) -> str:
    if not typed.tenant:
        tenants = list(link.rows("tenants/"))
        if len(tenants) != 1:
            raise Misuse("say --tenant: the key has no tenant of its own")
        typed.tenant = tenants[0]["name"]
    return f"tenants/{quote(typed.tenant, safe='')}/data-sets/"


def _place(link: ApiClient, typed: Namespace, row: Row) -> str:
    return f"{_path(link, typed)}{row['id']}/"


def _find(link: ApiClient, typed: Namespace) -> Row | None:
    return next(iter(link.rows(_path(link, typed), name=typed.name)), None)


def _require(link: ApiClient, typed: Namespace) -> str:
    row = _find(link, typed)
    if row is None:
        raise Trouble(f"there is no data set {typed.name}: `list` shows those that there are")
    return _place(link, typed, row)


def _add(link: ApiClient, typed: Namespace) -> Row:
    row: Row = link.send("POST", _path(link, typed), {"name": typed.name}).body
    return row


def _send(link: ApiClient, place: str, file: Path, form: str) -> Row:
    """Returns the version, which is being read then."""
    version = link.send("POST", f"{place}versions/", {"format": form}).body
    address = f"{place}versions/{version['number']}/"
    for number, content in enumerate(_pieces(file)):
        body = {"number": number, "content": base64.b64encode(content).decode()}
        link.send("POST", f"{address}pieces/", body)
    finished: dict[str, Any] = link.send("POST", f"{address}finish/", {}).body
    return finished


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as content:
        while piece := content.read(PIECE):
            yield piece


def _wait(link: ApiClient, address: str) -> Row:
    """Returns the version once it has been read. Raises Trouble if it cannot be used."""
    while (version := link.get(address).body)["state"] in _MOVING:
        time.sleep(LOOK_EVERY_S)
    if version["state"] != "ready":
        raise Trouble(f"it is {version['state']}: {version['problem']}")
    row: Row = version
    return row
