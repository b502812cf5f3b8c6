"""The words of a text, for the part of a search that compares words.

English words lose their commonest endings; of Chinese, Japanese and Korean writing each two
neighbouring characters are a word. Words that nearly every text has are left out.
"""

import re
import unicodedata
from collections import Counter

LONGEST = 40  # characters of a word; the rest is cut off
MOST = 2_000  # different words of a text
TITLES = 2  # times that a word counts in the titles above a passage
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_RUN = re.compile(f"[{_CJK}]+|[^\\W_{_CJK}]+")
_ENGLISH = """
    a about after all also am an and any are as at be because been before being but by can cannot
    could did do does doing during each few for from had has have having he her here him his how i
    if in into is it its itself just may me might more most must my no nor not of off on once only
    or other our ours out over own per s same shall she should so some such t than that the their
    theirs them then there these they this those through to too under until up us very was we were
    what when where which while who whom whose why will with would you your yours"""
_CHINESE = "的 了 是 在 和 与 或 吗 呢 啊 吧 我 你 他 她 它 们 这 那 怎么 什么 如何 哪个 哪些 可以"
_COMMON = frozenset(re.findall(r"\S+", f"{_ENGLISH} {_CHINESE}"))


def counted(text: str) -> Counter[str]:
    """Returns how often a text has each word."""
    counts = Counter[str]()
    for run in _RUN.finditer(unicodedata.normalize("NFKC", text).lower()):
        counts.update(_of_run(run[0]))
    return Counter(dict(counts.most_common(MOST))) if len(counts) > MOST else counts


def of_passage(titles: list[str], text: str) -> Counter[str]:
    """Returns the words of a passage with those of the titles above it."""
    counts = counted(text)
    for word, count in counted("\n".join(titles)).items():
        counts[word] += TITLES * count
    return counts


def _of_run(run: str) -> list[str]:
    if not _is_cjk(run[0]):
        return [] if run in _COMMON else [stem(run)[:LONGEST]]
    pairs = [run[n : n + 2] for n in range(len(run) - 1)] or [run]
    return [pair for pair in pairs if pair not in _COMMON]


def _is_cjk(letter: str) -> bool:
    return bool(re.match(f"[{_CJK}]", letter))


def stem(word: str) -> str:
    """Returns an English word without the endings of plural, past and participle.

    It is the S-stemmer of Harman (1991) with `ed` and `ing`; what is left need not be a word.
    """
    if len(word) < 4 or not word.isascii():
        return word
    if word.endswith("ies"):
        word = word[:-3] + "y"
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = _undoubled(word.removesuffix(ending))
            break
    return word[:-1] if len(word) > 4 and word.endswith("e") else word


def _undoubled(word: str) -> str:
    """Returns `stop` for `stopp`; `call` and `pass` stay."""
    return word[:-1] if word[-1] == word[-2] and word[-1] not in "lsz" else word
