"""Sentences of 27 intents, made from the templates of home-assistant-intents (Apache-2.0).

They are split by template, never by sentence: else the test would hold the training in other
values. Forebay does not need the package: it measures how well a classifier understands.
"""

import json
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile

WHEEL = (
    "home-assistant-intents==2026.11.25 "
    "--hash=sha256:1eaf08165e1adfb1ca8a836081a46fd97433ed620ba32cba71972e35575140a5"
)
LEAST, MOST = 4, 40  # templates of an intent
_SENTENCES = 20  # of an intent, at least two of a template
_DEEPEST = 8  # rules within rules
_VALUES = {
    "name": ["the kitchen lamp", "my fan", "the bedroom light", "the heater", "the radio"],
    "area": ["kitchen", "living room", "garage", "office"],
    "floor": ["upstairs", "the first floor"],
}
_NUMBERS = [str(number) for number in range(2, 60)]


class Labelled(NamedTuple):
    text: str
    intent: str


class Split(NamedTuple):
    train: list[Labelled]
    test: list[Labelled]


def fetched(folder: Path) -> dict[str, Any]:
    """Download the package. Returns its English templates."""
    wanted = folder / "wheel.txt"
    wanted.write_text(f"{WHEEL}\n")
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes"]
    subprocess.run([*pip, "-d", str(folder), "-r", str(wanted)], check=True, timeout=500)
    (wheel,) = folder.glob("home_assistant_intents*.whl")
    with ZipFile(wheel) as archive:
        return dict(json.loads(archive.read("home_assistant_intents/data/en.json")))


def split(data: dict[str, Any], seed: int) -> Split:
    """Returns sentences of all intents with enough templates; a third of these are the test."""
    chance, grammar = random.Random(seed), Grammar(data)
    train: set[Labelled] = set()
    test: set[Labelled] = set()
    for intent, content in data["intents"].items():
        templates = sorted({text for part in content["data"] for text in part.get("sentences", [])})
        if len(templates) < LEAST:
            continue
        chance.shuffle(templates)
        for number, template in enumerate(templates[:MOST]):
            side = train if number % 3 else test
            for _time in range(max(2, _SENTENCES // min(len(templates), MOST))):
                if text := grammar.sentence(template, chance):
                    side.add(Labelled(text, intent))
    known = {sentence.text for sentence in train}
    return Split(sorted(train), sorted(each for each in test if each.text not in known))


class Grammar:
    """Expands templates: `[maybe]`, `(a|b)`, `<rule>`, `{list}`."""

    def __init__(self, data: dict[str, Any]) -> None:
        self._rules: dict[str, Any] = data.get("expansion_rules", {})
        self._lists = {name: _values(each) for name, each in data.get("lists", {}).items()}
        self._lists.update(_VALUES)

    def sentence(self, template: str, chance: random.Random) -> str:
        text = self._expanded(template, chance, 0)
        return re.sub(r"\s+", " ", text).strip().replace(" ,", ",")

    def _expanded(self, template: str, chance: random.Random, depth: int) -> str:
        text, place = "", 0
        while place < len(template):
            char = template[place]
            if char not in "([<{":
                text, place = text + char, place + 1
                continue
            end = _closing(template, place)
            text += self._part(char, template[place + 1 : end], chance, depth)
            place = end + 1
        return text

    def _part(self, opening: str, inner: str, chance: random.Random, depth: int) -> str:
        if opening == "{":
            return chance.choice(self._lists.get(inner.partition(":")[0], ["it"]))
        if opening == "<":
            return self._rule(inner, chance, depth)
        if opening == "[" and chance.random() < 0.5:
            return ""
        return self._expanded(chance.choice(_alternatives(inner)), chance, depth)

    def _rule(self, name: str, chance: random.Random, depth: int) -> str:
        rule = self._rules.get(name, "")
        text = rule if isinstance(rule, str) else rule.get("sentence", "")
        if depth == _DEEPEST:
            return ""
        return self._expanded(chance.choice(_alternatives(text)), chance, depth + 1)


def _closing(template: str, start: int) -> int:
    """Returns where a bracket closes."""
    opening = template[start]
    closing = {"(": ")", "[": "]", "<": ">", "{": "}"}[opening]
    depth = 0
    for place in range(start, len(template)):
        depth += (template[place] == opening) - (template[place] == closing)
        if not depth:
            return place
    return len(template) - 1


def _alternatives(text: str) -> list[str]:
    """Returns the texts between bars that stand in no bracket."""
    parts, depth, part = [], 0, ""
    for char in text:
        depth += (char in "([") - (char in ")]")
        if char == "|" and not depth:
            parts.append(part)
            part = ""
        else:
            part += char
    return [*parts, part]


def _values(each: dict[str, Any]) -> list[str]:
    """Returns what a list holds; numbers for a range, of which none may be shown."""
    if "values" not in each:
        return _NUMBERS
    texts = [value if isinstance(value, str) else value.get("in", "it") for value in each["values"]]
    plain = [re.sub(r"[\[\]()<>{}]", "", text.partition("|")[0]) for text in texts]
    return [text for text in plain if text] or _NUMBERS
