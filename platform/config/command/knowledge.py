"""`forebay knowledge`: knowledge bases of a tenant of a running platform, with its key."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from config.command.operating.api_client import OF_TENANT, ApiClient, Row
from config.command.operating.collection import (
    Collection,
    add_name,
    add_tenant,
    size_of,
    upload,
    wait,
)
from config.command.operating.program import Columns, Program, Result, outcome, table

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
    add_tenant(program.shows("list", _list, "all knowledge bases"))
    add_name(program.shows("show", _show, "the documents of a base, and their state"))
    search = program.shows("search", _search, "the passages for a question")
    add_name(search)
    search.add_argument("question")
    search.add_argument("--most", type=int, default=5, help="passages (5)")
    create = program.acts("create", _create, "a base of a model that makes embeddings")
    add_name(create)
    create.add_argument("model")
    uploading = program.acts("upload", _upload, "files, each as a document of its name")
    add_name(uploading)
    uploading.add_argument("files", nargs="+", type=Path, metavar="FILE")
    uploading.add_argument("--format", choices=FORMATS, help="by default by the file's name")
    uploading.add_argument("--url", default="", help="of the page, which answers link to")
    uploading.add_argument("--no-wait", action="store_true", help="do not wait until it is read")
    remove = program.acts("remove", _remove, "a base, or a document of it")
    add_name(remove)
    remove.add_argument("--document", metavar="NAME")
    return program.main(arguments)


# Commands ----------------------------------------------------------------------------------------
def _bases(link: ApiClient, typed: Namespace) -> Collection:
    return Collection.of_tenant(link, typed.tenant, "knowledge-bases", "knowledge base")


def _documents(link: ApiClient, typed: Namespace) -> Collection:
    path = _bases(link, typed).row_path(typed.name)
    return Collection(link, f"{path}documents/", "document")


def _list(link: ApiClient, typed: Namespace) -> Result:
    return table(link.rows(_bases(link, typed).path), _BASES)


def _show(link: ApiClient, typed: Namespace) -> Result:
    return table(link.rows(_documents(link, typed).path), _DOCUMENTS)


def _search(link: ApiClient, typed: Namespace) -> Result:
    body = {"question": typed.question, "most": typed.most}
    path = f"{_bases(link, typed).row_path(typed.name)}search/"
    return table(map(_line, link.send("POST", path, body).body["passages"]), _PASSAGES)


def _line(passage: Row) -> Row:
    titles, text = " › ".join(passage["titles"]), " ".join(passage["text"].split())
    return {**passage, "titles": titles, "text": text[:LONGEST_TEXT]}


def _create(link: ApiClient, typed: Namespace) -> Result:
    body = {"name": typed.name, "model": typed.model}
    if typed.dry_run:
        return outcome("knowledge base", typed.name, "would be created", body)
    return outcome("knowledge base", typed.name, "created", _bases(link, typed).add(**body))


def _upload(link: ApiClient, typed: Namespace) -> Result:
    documents, sizes = _documents(link, typed), sum(map(size_of, typed.files))
    what = f"{len(typed.files)} files"
    if typed.dry_run:
        return outcome("knowledge base", typed.name, f"would get {what}, {sizes} bytes", None)
    sent = [_send(documents, file, typed) for file in typed.files]
    if not typed.no_wait:
        sent = [wait(link, documents.path_of(one), _MOVING, one["name"]) for one in sent]
    return outcome("knowledge base", typed.name, f"has {what}", {"documents": sent})


def _send(documents: Collection, file: Path, typed: Namespace) -> Row:
    """Returns the document, which waits to be read then."""
    body = {"name": str(file), "format": typed.format, "url": typed.url}
    document = documents.add(**{name: value for name, value in body.items() if value})
    return upload(documents.link, documents.path_of(document), file)


def _remove(link: ApiClient, typed: Namespace) -> Result:
    bases, name = _bases(link, typed), typed.name
    path = bases.row_path(name)
    if typed.document:
        documents = Collection(link, f"{path}documents/", "document")
        path, name = documents.row_path(typed.document), f"{name}: {typed.document}"
    return bases.remove(name, path, dry_run=typed.dry_run)
