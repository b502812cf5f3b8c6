"""The input of a call, checked while the model writes it.

Clients parse the input after each piece, and Anthropic's SDK for Python gives up a stream whose
pieces begin no JSON. So a piece leaves only if all pieces so far begin an object; else the rest is
held, and the object ends with a field that has the whole text.
"""

import re
from typing import NamedTuple

import orjson

from inference.api.anthropic.answers import INVALID_INPUT
from inference.validation.schemas import DEEPEST

# A part of a text: not its quotes, and each escape (a pair of surrogates is one) whole.
_INSIDE = re.compile(
    r'(?:[^"\\\x00-\x1f]+|\\["\\/bfnrt]|\\u[0-9a-ce-fA-CE-F][0-9a-fA-F]{3}|\\u[dD][0-7][0-9a-fA-F]{2}'
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})+"
)
_ESCAPE_BEGUN = re.compile(r"\\(?:u[0-9a-fA-F]{0,4}(?:\\(?:u[0-9a-fA-F]{0,4})?)?)?")
_SPACE = re.compile(r"[ \t\n\r]+")
_ATOM = re.compile(r"[-+.0-9a-zA-Z]+")  # a number, true, false, null
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORDS = frozenset(("true", "false", "null"))
LONGEST_ATOM = 400  # characters: a longer one is no number that clients can read


class _State(NamedTuple):
    """The place in the object: what may come, and what would end a value there."""

    name: str
    ending: str


_START = _State("start", "{")
_FIRST_KEY, _KEY = _State("first key", ""), _State("key", '"":null')
_COLON, _VALUE = _State("colon", ":null"), _State("value", "null")
_FIRST_VALUE, _COMMA = _State("first value", ""), _State("comma", "")
_VALUES = (_VALUE, _FIRST_VALUE)


class GrowingInput:
    """Checks one input. Its text is an object's JSON, however the model's ends."""

    def __init__(self) -> None:
        self._text: list[str] = []  # all that the model wrote
        self._waiting = ""  # the beginning of a token
        self._state, self._closers = _START, list[str]()
        self._in_text = self._is_key = self._is_faulty = self._is_over = False

    def add(self, text: str) -> str:
        """Returns what may leave, now that the model has written more."""
        self._text.append(text)
        if self._is_faulty:
            return ""
        text, at, was_over = self._waiting + text, 0, self._is_over
        if self._state is _START:
            text = text.lstrip(" \t\n\r")  # spaces alone begin nothing that the SDK parses
        while at < len(text) and (end := self._token(text, at)) > at:
            at = end
        self._waiting = text[at:]
        if was_over or not self._is_over:
            return text[:at]
        return "".join(text[:at].rpartition("}")[::2])  # only spaces can be behind the bracket

    def end(self, *, was_cut: bool) -> str:
        """Returns the rest of the object. `was_cut`: the answer was full; a part is all there is.

        The last bracket waits for this moment, since more text might follow it.
        """
        if not self._text or not "".join(self._text).strip():
            return ""
        if self._is_over and not self._is_faulty:
            return "}"
        if was_cut and not self._is_faulty:
            return ""
        return self._repaired()

    # Tokens --------------------------------------------------------------------------------------
    def _token(self, text: str, at: int) -> int:
        """Returns the end of the token that begins here; `at` if it must wait, or is wrong."""
        if self._in_text:
            return self._inside(text, at)
        if space := _SPACE.match(text, at):
            return space.end()
        if not self._is_over and (atom := _ATOM.match(text, at)):
            return self._atom(atom)
        return at + 1 if self._takes(text[at]) else at

    def _inside(self, text: str, at: int) -> int:
        if inside := _INSIDE.match(text, at):
            return inside.end()
        if text[at] == '"':
            self._in_text = False
            self._state = _COLON if self._is_key else _COMMA
            return at + 1
        begun = _ESCAPE_BEGUN.fullmatch(text, at)
        self._is_faulty = not begun
        return at

    def _atom(self, atom: re.Match[str]) -> int:
        word = atom.group()
        if atom.end() == len(atom.string) and len(word) <= LONGEST_ATOM:
            return atom.start()  # more of it may come
        right = word in _WORDS or (_NUMBER.fullmatch(word) and len(word) <= LONGEST_ATOM)
        if self._state not in _VALUES or not right:
            self._is_faulty = True
            return atom.start()
        self._state = _COMMA
        return atom.end()

    def _takes(self, mark: str) -> bool:
        """Returns whether the mark is right here."""
        state = self._state
        if self._is_over:
            self._is_faulty = True
        elif mark == '"' and state in (*_VALUES, _FIRST_KEY, _KEY):
            self._in_text, self._is_key = True, state in (_FIRST_KEY, _KEY)
        elif mark == "{" and state in (*_VALUES, _START):
            self._open("}", _FIRST_KEY)
        elif mark == "[" and state in _VALUES:
            self._open("]", _FIRST_VALUE)
        elif mark == ":" and state is _COLON:
            self._state = _VALUE
        elif mark == "," and state is _COMMA:
            self._state = _KEY if self._closers[-1] == "}" else _VALUE
        elif self._closers[-1:] == [mark] and state in (_COMMA, _FIRST_KEY, _FIRST_VALUE):
            self._close()
        else:
            self._is_faulty = True
        return not self._is_faulty

    def _open(self, closer: str, state: _State) -> None:
        if len(self._closers) == DEEPEST:
            self._is_faulty = True
            return
        self._closers.append(closer)
        self._state = state

    def _close(self) -> None:
        """Close the innermost container. The object's own closer stays, for what may follow it."""
        if len(self._closers) == 1:
            self._is_over = True
            return
        self._closers.pop()
        self._state = _COMMA

    # The end of what is no object ----------------------------------------------------------------
    def _repaired(self) -> str:
        """Returns what makes an object of all that has left, with the whole text in a field."""
        field = f'"{INVALID_INPUT}":{orjson.dumps("".join(self._text)).decode()}}}'
        if not self._closers:
            return "{" + field
        rest = self._ended() + "".join(reversed(self._closers[1:]))
        is_empty = self._state is _FIRST_KEY and len(self._closers) == 1 and not self._in_text
        if self._state is _KEY and len(self._closers) == 1 and not self._in_text:
            return field  # behind a comma
        return rest + ("" if is_empty else ",") + field

    def _ended(self) -> str:
        """Returns what ends the value that is being written."""
        if not self._in_text:
            return self._state.ending
        return '":null' if self._is_key else '"'
