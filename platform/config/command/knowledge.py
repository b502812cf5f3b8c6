"""`forebay knowledge`: knowledge bases of a tenant of a running platform, with its key."""

import base64
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from config.command.operating.api_client import OF_TENANT, ApiClient, Misuse, Row, Trouble
from config.command.operating.program import Columns, Program, Result, outcome, table

PIECE = 700_000  # bytes of a file in one call
LOOK_EVERY_S = 1.0
LONGEST_TEXT = 120  # characters of a passage in the table
FORMATS = ("markdown", "text", "html", "faq_csv", "faq_jsonl")
_MOVING = ("uploading", "waiting", "embedding")
_BASES: Columns = {"name": "name", "model": "model", "bytes": "bytes", "changed": "changed_at"}
_DOCUMENTS: Columns = {
    "name": "name",
    "state": "state",
    "passages": "passages",
    "embedded": "embedded",
    "bytes": "bytes",
    "problem": "problem",
}
_PASSAGES: Columns = {
    "score": "score",
    "likeness": "likeness",
    "words": "shared",
    "document": "name",
    "titles": "titles",
    "text": "text",
}


def knowledge(arguments: Sequence[str]) -> int:
    text = "Knowledge bases of a tenant: documents that questions are answered from."
    program = Program("knowledge", text, OF_TENANT)
    _of_tenant(program.shows("list", _list, "all knowledge bases"))
    _named(program.shows("show", _show, "the documents of a base, and their state"))
    search = program.shows("search", _search, "the passages for a question")
    _named(search)
    search.add_argument("question")
    search.add_argument("--most", type=int, default=5, help="passages (5)")
    create = program.acts("create", _create, "a base of a model that makes embeddings")
    _named(create)
    create.add_argument("model")
    upload = program.acts("upload", _upload, "files, each as a document of its name")
    _named(upload)
    upload.add_argument("files", nargs="+", type=Path, metavar="FILE")
    upload.add_argument("--format", choices=FORMATS, help="by default by the file's name")
    upload.add_argument("--url", default="", help="of the page, which answers link to")
    upload.add_argument("--no-wait", action="store_true", help="do not wait until it is read")
    remove = program.acts("remove", _remove, "a base, or a document of it")
    _named(remove)
    remove.add_argument("--document", metavar="NAME")
    return program.main(arguments)


def _of_tenant(parser: ArgumentParser) -> None:
    parser.add_argument("--tenant", metavar="NAME", help="by default the key's own")


def _named(parser: ArgumentParser) -> None:
    _of_tenant(parser)
    parser.add_argument("name")


# Commands ----------------------------------------------------------------------------------------
def _list(link: ApiClient, typed: Namespace) -> Result:
    return table(link.rows(_path(link, typed)), _BASES)


def _show(link: ApiClient, typed: Namespace) -> Result:
    return table(link.rows(f"{_require(link, typed)}documents/"), _DOCUMENTS)


def _search(link: ApiClient, typed: Namespace) -> Result:
    body = {"question": typed.question, "most": typed.most}
    answer = link.send("POST", f"{_require(link, typed)}search/", body).body
    return table(map(_line, answer["passages"]), _PASSAGES)


def _line(passage: Row) -> Row:
    titles, text = " › ".join(passage["titles"]), " ".join(passage["text"].split())
    return {**passage, "titles": titles, "text": text[:LONGEST_TEXT]}


def _create(link: ApiClient, typed: Namespace) -> Result:
    body = {"name": typed.name, "model": typed.model}
    if typed.dry_run:
        return outcome("knowledge base", typed.name, "would be created", body)
    made = link.send("POST", _path(link, typed), body).body
    return outcome("knowledge base", typed.name, "created", made)


def _upload(link: ApiClient, typed: Namespace) -> Result:
    place, sizes = _require(link, typed), sum(map(_size, typed.files))
    what = f"{len(typed.files)} files"
    if typed.dry_run:
        return outcome("knowledge base", typed.name, f"would get {what}, {sizes} bytes", None)
    sent = [_send(link, place, file, typed) for file in typed.files]
    if not typed.no_wait:
        sent = [_wait(link, f"{place}documents/{one['id']}/") for one in sent]
    return outcome("knowledge base", typed.name, f"has {what}", {"documents": sent})


def _remove(link: ApiClient, typed: Namespace) -> Result:
    place, name = _require(link, typed), typed.name
    if typed.document:
        rows = link.rows(f"{place}documents/", name=typed.document)
        row = next(iter(rows), None)
        if row is None:
            raise Trouble(f"there is no document {typed.document} in {typed.name}")
        place, name = f"{place}documents/{row['id']}/", f"{typed.name}: {typed.document}"
    present = link.get(place)
    if typed.dry_run:
        return outcome("knowledge base", name, "would be removed", present.body)
    link.send("DELETE", place, etag=present.etag)
    return outcome("knowledge base", name, "removed", present.body)


# Steps -------------------------------------------------------------------------------------------
def _path(link: ApiClient, typed: Namespace) -> str:
    if not typed.tenant:
        tenants = list(link.rows("tenants/"))
        if len(tenants) != 1:
            raise Misuse("say --tenant: the key has no tenant of its own")
        typed.tenant = tenants[0]["name"]
    return f"tenants/{quote(typed.tenant, safe='')}/knowledge-bases/"


def _require(link: ApiClient, typed: Namespace) -> str:
    row = next(iter(link.rows(_path(link, typed), name=typed.name)), None)
    if row is None:
        raise Trouble(f"there is no knowledge base {typed.name}: `list` shows those that there are")
    return f"{_path(link, typed)}{row['id']}/"


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError as problem:
        raise Misuse(f"{file}: {problem.strerror}") from None


def _send(link: ApiClient, place: str, file: Path, typed: Namespace) -> Row:
    """Returns the document, which waits to be read then."""
    body = {"name": str(file), "format": typed.format, "url": typed.url}
    document = link.send("POST", f"{place}documents/", {k: v for k, v in body.items() if v}).body
    address = f"{place}documents/{document['id']}/"
    for number, content in enumerate(_pieces(file)):
        piece = {"number": number, "content": base64.b64encode(content).decode()}
        link.send("POST", f"{address}pieces/", piece)
    finished: Row = link.send("POST", f"{address}finish/", {}).body
    return finished


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as content:
        while piece := content.read(PIECE):
            yield piece


def _wait(link: ApiClient, address: str) -> Row:
    """Returns the document once it has been embedded. Raises Trouble if it cannot be."""
    while (document := link.get(address).body)["state"] in _MOVING:
        time.sleep(LOOK_EVERY_S)
    if document["state"] != "ready":
        raise Trouble(f"{document['name']} is {document['state']}: {document['problem']}")
    row: Row = document
    return row
