"""Short sentences that mean the same in every dialogue: yes, no, cancel, a human, a wish.

A whole message has to be such a sentence. "Cancel" ends what goes on; "cancel my order" is an
intent. Only the words for a human count anywhere in a message.
"""

import re
import tomllib
import unicodedata
from collections.abc import Iterable
from functools import cache
from pathlib import Path

_FILE = tomllib.loads((Path(__file__).parent / "sentences.toml").read_text("utf-8"))
_ORDINALS = {"1": 1, "first": 1, "one": 1, "一": 1, "2": 2, "second": 2, "two": 2, "二": 2}
_BESIDE_ORDINALS = {"the", "option", "number", "please", "第", "个", "选", "项", "条", "是"}
_CJK = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_WORD = re.compile(r"(?<![\w-])[A-Za-z]{2,}(?![\w-])")
_LONGEST = 16  # words of such a message
Words = tuple[str, ...]


def plain(text: str) -> str:
    """Returns a text in lower case, without punctuation, in its compatibility form."""
    text = unicodedata.normalize("NFKC", text).lower().replace("'", "").replace("’", "")
    return " ".join(re.sub(r"[^\w\s]", " ", text).split())


@cache
def _lines(meaning: str) -> list[str]:
    return [*_FILE[meaning]["en"], *_FILE[meaning]["zh"]]


@cache
def _phrases(meaning: str) -> frozenset[Words]:
    return frozenset(map(_words, _lines(meaning)))


def is_one(text: str, meaning: str, *others: str) -> bool:
    """Returns whether the whole message has this meaning; sentences of others may stand beside.

    A question is none: "yes?" confirms nothing.
    """
    words = _words(text)
    if not 0 < len(words) <= _LONGEST or "?" in text or "？" in text:
        return False
    wanted = _phrases(meaning)
    beside = _phrases("around").union(*map(_phrases, others))
    return _made_of(words, wanted, beside - wanted)


def _words(text: str) -> tuple[str, ...]:
    """Returns words of a text; each Chinese character is one."""
    return tuple(_CJK.sub(lambda match: f" {match[0]} ", plain(text)).split())


def _made_of(words: tuple[str, ...], wanted: frozenset[Words], beside: frozenset[Words]) -> bool:
    """Returns whether words can be cut into phrases, one of `wanted` among them."""
    cuts = {0: False}  # ends of whole cuts: whether one has a wanted phrase
    for end in range(1, len(words) + 1):
        for start in [cut for cut in cuts if cut < end]:
            piece = words[start:end]
            if piece in wanted or piece in beside:
                cuts[end] = cuts.get(end, False) or cuts[start] or piece in wanted
    return cuts.get(len(words), False)


def has_one(text: str, phrases: Iterable[str]) -> bool:
    """Returns whether one of the phrases stands in the message; in English as whole words."""
    text = plain(text)
    return any(_stands_in(phrase, text) for phrase in map(plain, phrases) if phrase)


def _stands_in(phrase: str, text: str) -> bool:
    if _CJK.search(phrase):
        return phrase in text
    return re.search(rf"(?<![a-z0-9]){re.escape(phrase)}(?![a-z0-9])", text) is not None


def wants_human(text: str, words: Iterable[str] = ()) -> bool:
    return has_one(text, [*_lines("human"), *words])


def is_unhelpful(text: str) -> bool:
    """Returns whether a person says that an answer does not help."""
    return has_one(text, _lines("unhelpful"))


def is_disagreement(text: str) -> bool:
    return has_one(text, _lines("disagree"))


def is_correction(text: str) -> bool:
    return has_one(text, _lines("correction"))


def value_in(text: str) -> str:
    """Returns a message without words around its value: "5 Mill Lane" of "It is 5 Mill Lane."."""
    return unframed(text) or text


def unframed(text: str) -> str:
    """Returns a message without such words, "" where it has nothing else."""
    before, after = _around_value()
    text = before.sub("", text.strip(), count=1)
    match = after.search(_without_end(text, ".。!！"))
    return _without_end(text[: match.start()], ",，.。").strip() if match else text.strip()


def _without_end(text: str, marks: str) -> str:
    """Returns a text without these marks, and spaces, at its end.

    A pattern for them would begin anew at each of thousands of full stops.
    """
    end = len(text)
    while end and (text[end - 1] in marks or text[end - 1].isspace()):
        end -= 1
    return text[:end]


@cache
def _around_value() -> tuple[re.Pattern[str], re.Pattern[str]]:
    before, after = map(_either, ("before_value", "after_value"))
    return (
        re.compile(rf"^{before}\s*[:：,，]?\s*", re.IGNORECASE),
        re.compile(rf"{after}$", re.IGNORECASE),
    )


def _either(meaning: str) -> str:
    """Returns a pattern of these phrases: English ones as whole words, the longest first."""
    phrases = sorted(_lines(meaning), key=len, reverse=True)
    words = [
        re.escape(each) if _CJK.search(each) else rf"\b{re.escape(each)}\b" for each in phrases
    ]
    return f"(?:{'|'.join(words)})"


def is_empty(text: str) -> bool:
    """Returns whether a message names nothing: a yes, a no, thanks or a greeting."""
    return any(is_one(text, meaning) for meaning in ("yes", "no", "thanks", "greeting"))


def ordinal(text: str) -> int:
    """Returns the number of an option: 1 for "the first one", "1" or 第一个; else 0."""
    names = [word for word in _words(text) if word not in _BESIDE_ORDINALS]
    if len(names) == 2 and names[1] == "one":
        names.pop()
    return _ORDINALS.get(names[0], 0) if len(names) == 1 else 0


def wish(text: str) -> str:
    """Returns "short" or "long" if the whole message asks for such answers, else ""."""
    if is_one(text, "short"):
        return "short"
    return "long" if is_one(text, "long") else ""


def language(text: str, before: str, languages: list[str]) -> str:
    """Returns the language of a message, or the one before if it does not show.

    A single Latin word does not show one: names and "OK" stand in Chinese sentences too.
    """
    before = before or languages[0]
    if _CJK.search(text):
        shown = "zh"
    elif len(_WORD.findall(text)) >= 2:
        shown = "en"
    else:
        return before
    return shown if shown in languages else before


def size(text: str) -> int:
    """Returns the number of words; two Chinese characters count as one."""
    return len(_WORD.findall(text)) + (len(_CJK.findall(text)) + 1) // 2
