"""The paragraphs and tables of a Word document: of its XML alone, nothing else is unpacked."""

import zipfile
from collections.abc import Iterator
from io import BytesIO
from typing import Any

from lxml import etree

from inference.text_extraction import bounds
from inference.text_extraction.decoding import cleaned
from inference.text_extraction.unreadable import UnreadableDocument
from inference.text_extraction.wire import Extracted
from infrastructure.untrusted_archives import METHODS, zip_directory

MOST_XML = 32 << 20  # bytes of the document, unpacked
MOST_ENTRIES, MOST_DIRECTORY = 5_000, 4 << 20
_MAIN = "word/document.xml"
_OLD_CONTAINER = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_BREAKS = {f"{_W}tab": "\t", f"{_W}br": "\n", f"{_W}cr": "\n"}


def load() -> None:
    """Nothing is imported later."""


def read(raw: bytes) -> Extracted:
    """Raises UnreadableDocument."""
    if raw.startswith(_OLD_CONTAINER):
        is_encrypted = "EncryptedPackage".encode("utf-16-le") in raw
        raise UnreadableDocument("encrypted" if is_encrypted else "office_type")
    body = etree.fromstring(_xml(raw), parser=_parser()).find(f"{_W}body")
    if body is None:
        raise UnreadableDocument("broken")
    return Extracted(bounds.checked(cleaned("\n".join(_blocks(body)))))


def _parser() -> Any:
    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)


def _xml(raw: bytes) -> bytes:
    file = BytesIO(raw)
    try:
        entries, size = zip_directory(file)
        if entries > MOST_ENTRIES or size > MOST_DIRECTORY:
            raise UnreadableDocument("unpacks_too_large")
        with zipfile.ZipFile(file) as archive:
            return _member(archive)
    except zipfile.BadZipFile:
        raise UnreadableDocument("broken" if raw.startswith(b"PK") else "other_content") from None


def _member(archive: zipfile.ZipFile) -> bytes:
    """Returns the document's XML. What it says of its own size is not believed."""
    try:
        info = archive.getinfo(_MAIN)
    except KeyError:
        raise UnreadableDocument("other_content") from None
    if info.flag_bits & 1:
        raise UnreadableDocument("encrypted")
    if info.compress_type not in METHODS:
        raise UnreadableDocument("broken")
    with archive.open(info) as member:
        xml = member.read(MOST_XML + 1)
    if len(xml) > MOST_XML:
        raise UnreadableDocument("unpacks_too_large")
    return xml


def _blocks(parent: Any) -> Iterator[str]:
    """Yields a line for each paragraph and each row of a table."""
    for child in parent:
        if child.tag == f"{_W}p":
            yield _paragraph(child)
        elif child.tag == f"{_W}tbl":
            yield from map(_row, child.iter(f"{_W}tr"))
        elif child.tag in (f"{_W}sdt", f"{_W}sdtContent"):
            yield from _blocks(child)


def _row(row: Any) -> str:
    cells = row.iterchildren(f"{_W}tc")
    return " | ".join(" ".join(map(_paragraph, cell.iter(f"{_W}p"))).strip() for cell in cells)


def _paragraph(paragraph: Any) -> str:
    pieces = paragraph.iter(f"{_W}t", *_BREAKS)
    return "".join(_BREAKS.get(piece.tag, piece.text or "") for piece in pieces)
