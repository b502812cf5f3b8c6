"""Typed noise: slips of fingers, lost capitals and marks. Numbers stay as they are."""

import random
import re

_WORD = re.compile(r"(?<![\w-])[a-z]{4,}(?![\w-])")
_NEAR = dict(zip("qwertyuiopasdfghjklzxcvbnm", "wertyuiopqsdfghjklaxcvbnmz", strict=True))
# Characters that an input method offers for the same sound.
_SOUNDS = {"的": "得", "在": "再", "做": "作", "哪": "那", "吗": "嘛", "到": "道", "退": "推"}
SHARE = 0.35  # of messages that have a slip


def typed(text: str, language: str, chance: random.Random) -> str:
    """Returns a sentence as a person may type it."""
    if language == "zh":
        return _chinese(text, chance)
    if chance.random() < 0.3:
        text = text[:1].lower() + text[1:]
    if chance.random() < 0.3:
        text = text.rstrip(".!")
    if chance.random() < SHARE:
        words = list(_WORD.finditer(text))
        if words:
            match = chance.choice(words)
            text = text[: match.start()] + _slip(match[0], chance) + text[match.end() :]
    return text


def _slip(word: str, chance: random.Random) -> str:
    """Returns a word with two letters swapped, one lost, doubled, or taken for its neighbour."""
    at = chance.randrange(1, len(word) - 1)
    swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    lost, doubled = word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:]
    near = word[:at] + _NEAR[word[at]] + word[at + 1 :]
    return chance.choice([swapped, lost, doubled, near])


def _chinese(text: str, chance: random.Random) -> str:
    if chance.random() < 0.4:
        text = text.rstrip("。！")
    if chance.random() < SHARE:
        places = [place for place, char in enumerate(text) if char in _SOUNDS]
        if places:
            place = chance.choice(places)
            text = text[:place] + _SOUNDS[text[place]] + text[place + 1 :]
    return text
