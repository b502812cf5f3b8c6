"""Near copies: candidates by MinHash (datasketch), each verified by the true Jaccard similarity.

The index is in SQLite, so that memory stays bounded whatever the size of the set.
"""

import hashlib
import re
import sqlite3
from collections.abc import Callable

import numpy as np
from datasketch import MinHash, MinHashLSH

PERMUTATIONS = 128
RUN = 5  # words of a shingle
MOST_WORDS = 20_000  # of a document that are compared
_MOST_CANDIDATES = 8
# A letter of Chinese or Japanese is a word: there are no spaces between words.
_EAST = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_EAST}]|[^\W{_EAST}]+")
_SCHEMA = """
CREATE TABLE band (hash INTEGER PRIMARY KEY, document INTEGER NOT NULL);
CREATE TABLE exact (hash INTEGER PRIMARY KEY, document INTEGER NOT NULL);
"""


def shingles(text: str) -> set[str]:
    """Returns the runs of five words of a text."""
    words = _WORD.findall(text.lower())[:MOST_WORDS]
    return {" ".join(words[i : i + RUN]) for i in range(max(1, len(words) - RUN + 1))}


def jaccard(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other)


class NearCopies:
    """The documents so far. `text_of` gives the text of one by its number."""

    def __init__(
        self, database: sqlite3.Connection, similarity: float, text_of: Callable[[int], str]
    ) -> None:
        self._database = database
        self._similarity = similarity
        self._text_of = text_of
        best = MinHashLSH(threshold=similarity, num_perm=PERMUTATIONS)
        self._bands, self._rows = best.b, best.r
        database.executescript(_SCHEMA)

    def hashes(self, text: str) -> list[int]:
        """Returns the hash of a text, and one for each band of its MinHash."""
        minhash = MinHash(num_perm=PERMUTATIONS)
        minhash.update_batch([each.encode() for each in sorted(shingles(text))])
        values = np.asarray(minhash.hashvalues, np.uint64)
        bands = [
            _number(bytes([band]) + values[band * self._rows : (band + 1) * self._rows].tobytes())
            for band in range(self._bands)
        ]
        return [_number(text.encode()), *bands]

    def original(self, text: str, hashes: list[int]) -> tuple[int, float] | None:
        """Returns the earlier document that a text is a copy of, and how similar they are."""
        query = "SELECT document FROM exact WHERE hash = ?"
        if row := self._database.execute(query, hashes[:1]).fetchone():
            return int(row[0]), 1.0
        own = shingles(text)
        for number in self._candidates(hashes[1:]):
            similarity = jaccard(own, shingles(self._text_of(number)))
            if similarity >= self._similarity:
                return number, similarity
        return None

    def add(self, number: int, hashes: list[int]) -> None:
        """Adds a document; the first one in a band stays its representative."""
        rows = [(each, number) for each in hashes]
        self._database.executemany("INSERT OR IGNORE INTO exact VALUES (?, ?)", rows[:1])
        self._database.executemany("INSERT OR IGNORE INTO band VALUES (?, ?)", rows[1:])

    def _candidates(self, bands: list[int]) -> list[int]:
        marks = ", ".join("?" * len(bands))
        rows = self._database.execute(
            f"SELECT document, count(*) FROM band WHERE hash IN ({marks})"
            " GROUP BY document ORDER BY count(*) DESC, document LIMIT ?",
            [*bands, _MOST_CANDIDATES],
        )
        return [int(document) for document, _count in rows]


def _number(data: bytes) -> int:
    """Returns a hash as SQLite's signed integer of 64 bits."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little", signed=True)
