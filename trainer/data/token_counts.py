"""How many tokens of a base a text has, for the report and the choice of a length."""

import tempfile
from pathlib import Path

from tokenizers import Tokenizer

from trainer.formats import tokenizer
from trainer.formats.model import only_header
from trainer.refusals import unusable


class TokenCounter:
    """Counts with the tokenizer of a base; without a base it counts nothing."""

    def __init__(self, base: Path | None) -> None:
        self._tokenizer = None if base is None else _tokenizer(base)

    def count(self, text: str) -> int:
        if self._tokenizer is None:
            return 0
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)


def _tokenizer(base: Path) -> Tokenizer:
    if (header := only_header(base)) is None:
        return _read(base / "tokenizer.json")
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(header, Path(folder))
        return _read(Path(folder) / "tokenizer.json")


def _read(path: Path) -> Tokenizer:
    if not path.is_file():
        raise unusable("missing_file", "tokenizer.json is not there")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises no narrower class
        raise unusable("unknown_tokenizer", "The base's tokenizer.json cannot be read") from error
