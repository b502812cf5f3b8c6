"""The text layer of a PDF, page by page. A scanned page has none."""

import pkgutil
from contextlib import suppress
from importlib import import_module
from io import BytesIO

import pypdf
from pypdf import PdfReader
from pypdf.errors import LimitReachedError, PyPdfError

from inference.text_extraction import bounds
from inference.text_extraction.decoding import cleaned
from inference.text_extraction.unreadable import UnreadableDocument
from inference.text_extraction.wire import Extracted

_HEAD = 1024  # bytes within which viewers look for the mark


def load() -> None:
    for module in pkgutil.walk_packages(pypdf.__path__, "pypdf."):
        with suppress(ImportError):  # what needs fontTools, for writing
            import_module(module.name)


def read(raw: bytes) -> Extracted:
    """Raises UnreadableDocument."""
    if b"%PDF-" not in raw[:_HEAD]:
        raise UnreadableDocument("other_content")
    try:
        reader = PdfReader(BytesIO(raw))
        _open(reader)
        pages = len(reader.pages)
        if pages > bounds.MOST_PAGES:
            raise UnreadableDocument("too_many_pages")
        text = _text(reader)
    except LimitReachedError:
        raise UnreadableDocument("unpacks_too_large") from None
    except PyPdfError:
        raise UnreadableDocument("broken") from None
    return Extracted(bounds.checked(text), pages=pages)


def _open(reader: PdfReader) -> None:
    """Open one that only restricts printing and the like: it has an empty password."""
    if reader.is_encrypted and not reader.decrypt(""):
        raise UnreadableDocument("encrypted")


def _text(reader: PdfReader) -> str:
    texts, length = list[str](), 0
    for number, page in enumerate(reader.pages, 1):
        if (content := page.get_contents()) is not None:
            content.get_data()  # which raises, where `extract_text` takes a bomb for no text
        text = cleaned(page.extract_text()).strip()
        length += len(text)
        if length > bounds.MOST_CHARACTERS:
            raise UnreadableDocument("too_much_text")
        if text:
            texts.append(f"[page {number}]\n{text}")
    return "\n\n".join(texts)
