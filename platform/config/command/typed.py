"""What may be typed after a command's name: text, as it goes into JSON, rows and addresses."""

from collections.abc import Sequence

_INSTEAD = "type it again, and rename the file if it is the name of one"


def problem(typed: Sequence[str]) -> str:
    """Returns what is wrong with the first argument that is no text, and what to do; else ""."""
    for number, argument in enumerate(typed, 1):
        # Python has bytes that are no UTF-8 as surrogates.
        if any("\ud800" <= sign <= "\udfff" for sign in argument):
            return f"argument {number} ({argument!r}) is not valid UTF-8: {_INSTEAD}"
        if "\0" in argument:
            return f"argument {number} ({argument!r}) has a NUL character: {_INSTEAD}"
    return ""
