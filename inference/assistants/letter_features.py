"""Words and runs of letters of a sentence, hashed to a few numbers.

They stand beside the embedding. A model that does not know a language or a name still leaves the
letters (K. Weinberger et al., "Feature hashing for large scale multitask learning", ICML 2009).
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from math import hypot, sqrt
from zlib import crc32

SIZE = 1024  # numbers of a sentence
_LONGEST = 500  # characters that are read
_WORD = re.compile(r"[^\W_\u3400-\u9fff]+")
_CJK = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")
_RUNS, _CJK_RUNS = (3, 4), (1, 2, 3)


def letters(text: str) -> dict[int, float]:
    """Returns the numbers of a sentence that are not 0, by their place; of length 1 together."""
    text = unicodedata.normalize("NFKC", text[:_LONGEST]).lower()
    text = re.sub(r"\d", "0", text)  # each order number is another one
    counts = Counter(crc32(piece.encode()) % SIZE for piece in _pieces(text))
    length = hypot(*map(sqrt, counts.values()))
    return {place: sqrt(count) / length for place, count in counts.items()}


def _pieces(text: str) -> Iterator[str]:
    for word in _WORD.findall(text):
        bounded = f" {word} "
        yield bounded
        for size in _RUNS:
            yield from _runs(bounded, size)
    characters = "".join(_CJK.findall(text))
    for size in _CJK_RUNS:
        yield from _runs(characters, size)


def _runs(text: str, size: int) -> Iterator[str]:
    return (text[start : start + size] for start in range(len(text) - size + 1))
