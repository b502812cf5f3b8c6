"""The files whose text can be read, by the ending of their name."""

from enum import StrEnum

from inference.text_extraction.unreadable import UnreadableDocument


class FileKind(StrEnum):
    TEXT = "text"  # also tables, Markdown and code
    PDF = "pdf"
    DOCX = "docx"
    IMAGE = "image"


_TEXTS = """
    txt text log md markdown rst adoc org tex bib csv tsv json jsonl ndjson yaml yml toml ini cfg
    conf properties xml html htm css scss less svg vue svelte js mjs cjs ts tsx jsx py pyi rb php
    pl lua r jl go rs zig c h cc cpp cxx hpp hh cs fs java kt kts scala groovy gradle swift m mm
    dart ex exs erl hs ml clj lisp el vim sh bash zsh fish ps1 bat cmd sql graphql proto tf hcl
    nix cmake mk diff patch po srt vtt ics eml ipynb
"""
_PLAIN_NAMES = {"dockerfile", "makefile", "license", "readme", "changelog", "jenkinsfile"}
IMAGES = ("png", "jpg", "jpeg", "webp")
_OLD_OFFICE = {"doc", "xls", "ppt", "rtf", "odt", "ods", "odp", "xlsx", "pptx", "pages", "numbers"}
_KINDS = {
    **dict.fromkeys(_TEXTS.split(), FileKind.TEXT),
    **dict.fromkeys(IMAGES, FileKind.IMAGE),
    "pdf": FileKind.PDF,
    "docx": FileKind.DOCX,
}


def kind_of(name: str) -> FileKind:
    """Returns the kind of a file. Raises UnreadableDocument with `office_type` or `wrong_type`."""
    if name.lower() in _PLAIN_NAMES:
        return FileKind.TEXT
    ending = name.rpartition(".")[2].lower()
    if kind := _KINDS.get(ending):
        return kind
    raise UnreadableDocument("office_type" if ending in _OLD_OFFICE else "wrong_type")


def endings() -> list[str]:
    """Returns all endings, with their dot, as a page's file chooser takes them."""
    return [f".{ending}" for ending in _KINDS]
