"""Cuts a growing text into sentences, in English and Chinese."""

import re

# A full stop ends a sentence before a space and no digit or small letter: "e.g. it", "3. 5" don't.
_END = re.compile(r"[。！？!?…]+[”’\"'）)】」』]*\s*|\.[”’\"')\]]*\s+(?=[^a-z\d\s])|\n+", re.DOTALL)
_SHORTEST = 2  # characters of a sentence


def sentences(text: str, *, over: bool) -> tuple[list[str], str]:
    """Returns the whole sentences, with the spaces after them, and the rest.

    The last one counts once another begins, or the text is `over`: "It is 3." may go on as "3.5".
    """
    whole, start = list[str](), 0
    for match in _END.finditer(text):
        if match.end() == len(text) and not over:
            break
        if len(text[start : match.end()].strip()) >= _SHORTEST:
            whole.append(text[start : match.end()])
            start = match.end()
    rest = text[start:]
    if over:
        return ([*whole, rest] if rest.strip() else whole), ""
    return whole, rest
