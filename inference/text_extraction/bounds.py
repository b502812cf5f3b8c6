"""Bounds of an extracted text."""

from inference.text_extraction.unreadable import UnreadableDocument

MOST_CHARACTERS = 1_000_000
MOST_PAGES = 1_000


def checked(text: str) -> str:
    """Returns the text. Raises UnreadableDocument with `no_text` or `too_much_text`."""
    if not text.strip():
        raise UnreadableDocument("no_text")
    if len(text) > MOST_CHARACTERS:
        raise UnreadableDocument("too_much_text")
    return text.strip("\n")
