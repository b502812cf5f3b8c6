"""An upper bound of a prompt's tokens from its body alone, which a request reserves.

The bound holds for these reasons (docs/engines.md):

1. A token stands for at least one byte of the text that the tokenizer reads, be it byte-level BPE
   or SentencePiece with bytes to fall back on. So there are no more tokens than bytes.
2. The tokenizer may bring the text into a normal form first, which can be longer (in NFC the three
   bytes of U+FB2C become six). Its length is taken; ASCII stays as it is.
3. The template prints each text of the body once. In JSON the text is at least as long, and each
   message has `{"role":"","content":""}` besides. Parts that it may reformat have their greatest
   length: indented by four, spaces after commas and colons, `\\u4e2d` for characters beyond ASCII.
4. The template's own words are counted by the engine (`Template`), declared, or guessed: more than
   in any known template.

If it does not hold after all, the settlement reports it (record/request_rows.py).
"""

import asyncio
import re
import unicodedata
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import orjson

Form = Literal["NFC", "NFKC"]
GROWTH: dict[Form, int] = {"NFC": 3, "NFKC": 11}  # at most, in UTF-8 (UAX #15, section 9)
MOST_NORMALISED = 64 * 1024  # bytes: beyond, the factor is used, which costs no time
SHORT = 2 * 1024  # bytes: any so many are normalised within a millisecond
LONGEST_RUN = 128  # characters that may all be marks of one letter: to sort n of them takes n * n
MOST_SEARCHED = 64 * 1024  # bytes: beyond, a search for each mark takes longer than parsing
_OF_MESSAGE = len('{"role":"","content":""}')
# Fields that a template may reformat. In a text their quotes would be escaped.
_LAID_OUT = ("tools", "response_format", "guided_json", "structured_outputs")
_CALLS = ("tool_calls", "function_call")
_OF_TOOLS = ("tool", "function")  # roles
# Letters past which no mark is sorted (UAX #15, section 9).
# ASCII, Cyrillic, Thai, Lao, Tibetan, Burmese, Khmer, kana, Chinese and Hangul.
_BEGINS = (
    r"\x00-\x7f\u0410-\u044f\u0e01-\u0e2e\u0e81-\u0eae\u0f40-\u0f6c\u1000-\u1021\u1780-\u17b3"
    r"\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fff\uac00-\ud7a3"
)
_LONG_RUN = re.compile(f"[^{_BEGINS}]{{{LONGEST_RUN},}}")
_OTHER_THAN_TEXT = [f'"{name}":'.encode() for name in _LAID_OUT + _CALLS]
_OTHER_THAN_TEXT += [f'"role":"{role}"'.encode() for role in _OF_TOOLS]


@dataclass(frozen=True, slots=True)
class Template:
    """Tokens of a chat template's own words: always, for each message, and with tools."""

    base: int = 256
    per_message: int = _OF_MESSAGE
    tools: int = 1024


Count = Callable[[dict[str, Any]], Awaitable[int]]
_ROLES = {"s": "system", "u": "user", "a": "assistant"}
_A_TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


async def counted_template(count: Count, *, tools: bool) -> Template:
    """Count the template's words by an engine's tokenizer. Raises what `count` raises.

    A template that takes no system message, or no tools, refuses that.
    """
    one, three = await count(_chat("u")), await count(_chat("uau"))
    counts = await asyncio.gather(
        count(_chat("su")),
        *([count({**_chat("u"), "tools": [_A_TOOL]})] if tools else ()),
        return_exceptions=True,
    )
    with_system, *with_tools = [n if isinstance(n, int) else 0 for n in counts]
    beside_tools = max(0, with_tools[0] - one) if with_tools else 0
    return Template(max(one, with_system), max(0, three - one), beside_tools)


def _chat(roles: str) -> dict[str, Any]:
    return {"messages": [{"role": _ROLES[role], "content": ""} for role in roles]}


def prompt_bound(body: bytes, template: Template | None, form: Form | None) -> int:
    """Returns the bound. `body` is as orjson writes it. Completions have no template."""
    longest = len(body) + _growth(body, form)
    if template is None:
        return longest
    longest += template.base
    if template.per_message > _OF_MESSAGE:
        longest += (template.per_message - _OF_MESSAGE) * body.count(b'"role":')
    if (parsed := _parsed_with_more_than_text(body)) is not None:
        longest += template.tools + _laid_out(parsed)
    return longest


def _parsed_with_more_than_text(body: bytes) -> dict[str, Any] | None:
    """Returns the parsed body if it holds more than texts."""
    if len(body) <= MOST_SEARCHED:
        return orjson.loads(body) if any(mark in body for mark in _OTHER_THAN_TEXT) else None
    parsed: dict[str, Any] = orjson.loads(body)
    of_tools = any(map(_is_of_tools, parsed.get("messages") or ()))
    return parsed if of_tools or any(name in parsed for name in _LAID_OUT) else None


def _is_of_tools(message: dict[str, Any]) -> bool:
    return message.get("role") in _OF_TOOLS or any(name in message for name in _CALLS)


def _growth(body: bytes, form: Form | None) -> int:
    if form is None or body.isascii():
        return 0
    if len(body) > MOST_NORMALISED:
        return len(body) * (GROWTH[form] - 1)
    text = body.decode()
    if len(body) > SHORT and _LONG_RUN.search(text):
        return len(body) * (GROWTH[form] - 1)
    if unicodedata.is_normalized(form, text):
        return 0
    return max(0, len(unicodedata.normalize(form, text).encode()) - len(body))


def _laid_out(body: dict[str, Any]) -> int:
    """Returns by how many bytes the parts that are no plain text can be longer in the prompt."""
    more = sum(_indented(body[name]) for name in _LAID_OUT if body.get(name))
    for message in body.get("messages") or ():
        more += sum(_reformatted_calls(message[name]) for name in _CALLS if message.get(name))
        if message.get("role") in _OF_TOOLS:
            more += _escaped(orjson.dumps(message.get("content")))
    return more


def _indented(value: Any) -> int:
    """Returns spaces and line ends: for each value, a line and perhaps another that closes it."""
    more, depth, level = _escaped(orjson.dumps(value)), 0, [value]
    while level:
        more += len(level) * (2 * (4 * depth + 1) + 2)
        level = [inner for outer in level for inner in inside(outer)]
        depth += 1
    return more


def _reformatted_calls(calls: Any) -> int:
    """Arguments are JSON in a string. Spaces after commas and colons at most double them."""
    return _indented(calls) + len(orjson.dumps(calls))


def inside(value: Any) -> Iterable[Any]:
    """Returns the values in an object or a list."""
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _escaped(text: bytes) -> int:
    """Returns the bytes that escapes add: six for two, three or four of UTF-8 (two times six)."""
    return 0 if text.isascii() else 2 * len(text.translate(None, _ASCII))


_ASCII = bytes(range(128))
