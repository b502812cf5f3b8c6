"""Plain text, Markdown, tables and code: the file as it is, in one encoding."""

from inference.text_extraction import bounds
from inference.text_extraction.decoding import decoded
from inference.text_extraction.wire import Extracted


def load() -> None:
    """Nothing is imported later."""


def read(raw: bytes) -> Extracted:
    """Raises UnreadableDocument."""
    return Extracted(bounds.checked(decoded(raw)))
