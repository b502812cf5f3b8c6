"""Groups of examples that say the same in other values, so that no test holds its training."""

import re
from collections.abc import Sequence

from inference.assistants import set_phrases
from inference.assistants.slots.extraction import extract
from inference.assistants.spec import AssistantSpec, Intent

_NEAR = 0.7  # share of their words that two examples of a group have in common
_DIGITS = re.compile(r"\d+")
_CJK = re.compile("([\u3400-\u4dbf\u4e00-\u9fff])")


class Example:
    """A sentence of an intent. `words` are those that remain without values of slots."""

    __slots__ = ("group", "intent", "language", "text", "words")

    def __init__(self, intent: Intent, language: str, text: str) -> None:
        self.intent, self.language, self.text = intent.name, language, text
        rest = _DIGITS.sub(" ", extract(intent.slots, text).rest)
        self.words = frozenset(_CJK.sub(r" \1 ", set_phrases.plain(rest)).split())
        self.group = -1


def examples(spec: AssistantSpec) -> list[Example]:
    """Returns the examples of all intents, with their groups."""
    listed = [
        Example(intent, language, text)
        for intent in spec.intents
        for language in spec.languages
        for text in dict.fromkeys(intent.examples.get(language, []))
    ]
    start = 0
    for intent in spec.intents:
        own = [example for example in listed if example.intent == intent.name]
        start += _group(own, start)
    return listed


def _group(own: Sequence[Example], start: int) -> int:
    """Number the groups of an intent's examples from `start`. Returns how many there are."""
    groups: list[list[Example]] = []
    for example in own:
        near = [group for group in groups if any(_is_near(example, each) for each in group)]
        groups = [group for group in groups if group not in near]
        groups.append([example, *(each for group in near for each in group)])
    for number, group in enumerate(groups):
        for example in group:
            example.group = start + number
    return len(groups)


def _is_near(one: Example, other: Example) -> bool:
    union = one.words | other.words
    return not union or len(one.words & other.words) / len(union) >= _NEAR


def folds(listed: Sequence[Example], count: int) -> list[int]:
    """Returns the fold of each example: a group is in one fold, an intent in as many as it can."""
    fold_of: dict[int, int] = {}
    by_intent: dict[str, list[int]] = {}
    for example in listed:
        by_intent.setdefault(example.intent, []).append(example.group)
    for groups in by_intent.values():
        sizes = {group: groups.count(group) for group in dict.fromkeys(groups)}
        loads = [0] * count
        for group in sorted(sizes, key=lambda each: (-sizes[each], each)):
            fold = loads.index(min(loads))
            fold_of[group], loads[fold] = fold, loads[fold] + sizes[group]
    return [fold_of[example.group] for example in listed]
