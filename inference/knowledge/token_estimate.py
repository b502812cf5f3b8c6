"""The likely length of a text in tokens, before any tokenizer has read it.

Word pieces and byte pairs make a token of about four letters of English, and one of each Chinese
character, digit group or sign. Here a word counts a token for every five letters and one more at
their end, so that few texts are longer than this says.
"""

import re

AROUND = 4  # tokens that a model puts around a text
_LETTERS = 5  # of a token in the middle of a word
# A word of letters below the Chinese, Japanese and Korean ones; else a character that is no space.
_PIECE = re.compile(r"[^\W\d_\u2e80-\uffff]+|\d{1,3}|\S")


def tokens(text: str) -> int:
    return sum(_of_piece(piece.end() - piece.start()) for piece in _PIECE.finditer(text))


def cut(text: str, most: int) -> str:
    """Returns the beginning of a text that has at most `most` tokens by this measure."""
    total = 0
    for piece in _PIECE.finditer(text):
        total += _of_piece(piece.end() - piece.start())
        if total > most:
            return text[: piece.start()].rstrip()
    return text


def _of_piece(letters: int) -> int:
    return 1 + (letters - 1) // _LETTERS
