"""Checks of a spec that need nothing but the spec."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from uuid import UUID

from django.utils.translation import gettext as _

from inference.assistants.faults import MOST, Fault, WrongSpec
from inference.assistants.slots import patterns
from inference.assistants.spec import AssistantSpec, Intent, Rule, Slot, Texts
from inference.templating.variables import is_name as is_variable
from inference.templating.variables import placeholders, unknown_placeholder

MOST_INTENTS, MOST_SLOTS, MOST_CHOICES, MOST_ACTIONS = 100, 10, 50, 50
LEAST_EXAMPLES, MOST_EXAMPLES, MOST_IN_ALL = 4, 500, 5_000
LONGEST_EXAMPLE, LONGEST_TEXT, LONGEST_WORD = 500, 2_000, 80
MOST_TURNS, MOST_FAILURES, MOST_WORDS = 100, 10, 100
_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")


def check(spec: AssistantSpec) -> None:
    """Raises WrongSpec with the first faults."""
    faults = [fault for fault, _number in zip(_faults(spec), range(MOST), strict=False)]
    if faults:
        raise WrongSpec(*faults)


def _faults(spec: AssistantSpec) -> Iterator[Fault]:
    yield from _general(spec)
    yield from _unique([intent.name for intent in spec.intents], "intents", "name")
    for number, intent in enumerate(spec.intents):
        yield from _intent(spec, intent, f"intents.{number}")
    yield from _examples(spec)


# The whole --------------------------------------------------------------------------------------
def _general(spec: AssistantSpec) -> Iterator[Fault]:
    if not spec.languages or len(set(spec.languages)) < len(spec.languages):
        yield Fault("languages", _("Name each language once, and at least one."))
    if not spec.embedding_model.strip():
        yield Fault("embedding_model", _("Name a model for embeddings: it finds intents."))
    if spec.knowledge is not None and not _is_uuid(spec.knowledge):
        yield Fault("knowledge", _("This is not the id of a knowledge base."))
    if spec.unsure == "knowledge" and spec.knowledge is None:
        yield Fault("unsure", _("Without a knowledge base nothing can be searched."))
    if not 0.05 <= spec.sure <= 0.99:
        yield Fault("sure", _("This is a probability from 0.05 to 0.99."))
    if not math.isfinite(spec.least_score):
        yield Fault("least_score", _("This is not a number."))
    yield from _within(spec.most_turns, "most_turns", 1, MOST_TURNS)
    yield from _within(spec.most_failures, "most_failures", 1, MOST_FAILURES)
    yield from _texts(spec.greeting, "greeting", LONGEST_TEXT)
    yield from _words(spec.hand_over_words, "hand_over_words")
    yield from _within(len(spec.actions), "actions", 0, MOST_ACTIONS)
    for number, action in enumerate(spec.actions):
        yield from _text(action, f"actions.{number}", LONGEST_WORD)
    yield from _within(len(spec.intents), "intents", 1, MOST_INTENTS)


def _examples(spec: AssistantSpec) -> Iterator[Fault]:
    """Yields sentences that are examples of two intents, and too many in all."""
    owners: dict[str, str] = {}
    total = 0
    for number, intent in enumerate(spec.intents):
        for language, examples in intent.examples.items():
            total += len(examples)
            for place, example in enumerate(examples):
                owner = owners.setdefault(example.strip().lower(), intent.name)
                if owner != intent.name:
                    text = _("The intent %s has this example too: a sentence has one intent.")
                    yield Fault(f"intents.{number}.examples.{language}.{place}", text % owner)
    if total > MOST_IN_ALL:
        yield Fault("intents", _("At most %d examples in all.") % MOST_IN_ALL)


# An intent --------------------------------------------------------------------------------------
def _intent(spec: AssistantSpec, intent: Intent, path: str) -> Iterator[Fault]:
    yield from _name(intent.name, f"{path}.name")
    yield from _texts(intent.title, f"{path}.title", LONGEST_WORD)
    if len(spec.intents) > 1:
        yield from _spoken(spec, intent.title, f"{path}.title")
    yield from _unique([slot.name for slot in intent.slots], f"{path}.slots", "name")
    yield from _within(len(intent.slots), f"{path}.slots", 0, MOST_SLOTS)
    for number, slot in enumerate(intent.slots):
        yield from _slot(spec, slot, f"{path}.slots.{number}")
    yield from _rule(spec, intent, f"{path}.rule")
    yield from _sentences(spec, intent, f"{path}.examples")


def _sentences(spec: AssistantSpec, intent: Intent, path: str) -> Iterator[Fault]:
    for language in spec.languages:
        if len(intent.examples.get(language, [])) < LEAST_EXAMPLES:
            text = _("Give at least %(least)d examples in each language; here: %(language)s.")
            values = {"least": LEAST_EXAMPLES, "language": language}
            yield Fault(f"{path}.{language}", text % values)
    for language, examples in intent.examples.items():
        inner = f"{path}.{language}"
        if language not in spec.languages:
            yield Fault(inner, _("The assistant does not speak this language."))
        yield from _within(len(examples), inner, 0, MOST_EXAMPLES)
        for number, example in enumerate(examples):
            yield from _text(example, f"{inner}.{number}", LONGEST_EXAMPLE)


def _slot(spec: AssistantSpec, slot: Slot, path: str) -> Iterator[Fault]:
    if not is_variable(slot.name):
        text = _("A name has a letter, then letters, digits and _; 40 characters at most.")
        yield Fault(f"{path}.name", text)
    yield from _texts(slot.title, f"{path}.title", LONGEST_WORD)
    yield from _texts(slot.ask, f"{path}.ask", LONGEST_TEXT)
    if not slot.optional:
        yield from _spoken(spec, slot.ask, f"{path}.ask")
    elif slot.kind == "text":
        text = _("A text is known once it was asked for: it cannot be optional.")
        yield Fault(f"{path}.optional", text)
    if (slot.kind == "order_number") != bool(slot.pattern):
        text = _("An order number has a pattern, such as [A-Z]{2}-\\d{6}; other kinds have none.")
        yield Fault(f"{path}.pattern", text)
    elif slot.pattern and (problem := patterns.problem(slot.pattern)):
        yield Fault(f"{path}.pattern", problem)
    yield from _choices(slot, path)


def _choices(slot: Slot, path: str) -> Iterator[Fault]:
    if (slot.kind == "choice") != bool(slot.choices):
        yield Fault(f"{path}.choices", _("A choice has choices; other kinds have none."))
    yield from _within(len(slot.choices), f"{path}.choices", 0, MOST_CHOICES)
    yield from _unique([choice.value for choice in slot.choices], f"{path}.choices", "value")
    for number, choice in enumerate(slot.choices):
        yield from _text(choice.value, f"{path}.choices.{number}.value", LONGEST_WORD)
        for language, words in choice.words.items():
            yield from _words(words, f"{path}.choices.{number}.words.{language}")


def _rule(spec: AssistantSpec, intent: Intent, path: str) -> Iterator[Fault]:
    rule = intent.rule
    if (rule.kind == "action") != bool(rule.action):
        yield Fault(f"{path}.action", _("A rule of the kind action names one; others do not."))
    elif rule.action and rule.action not in spec.actions:
        text = _("The assistant may not call %s: name it in “actions”.")
        yield Fault(f"{path}.action", text % rule.action)
    if rule.kind == "knowledge" and spec.knowledge is None:
        yield Fault(f"{path}.kind", _("Without a knowledge base nothing can be searched."))
    yield from _texts(rule.reply, f"{path}.reply", LONGEST_TEXT)
    if rule.kind == "answer":
        yield from _spoken(spec, rule.reply, f"{path}.reply", translated=bool(spec.chat_model))
    elif rule.kind != "action" and rule.reply:
        yield Fault(f"{path}.reply", _("Only answers and actions have a reply."))
    yield from _placeholders(rule, {slot.name for slot in intent.slots}, f"{path}.reply")


def _placeholders(rule: Rule, slots: set[str], path: str) -> Iterator[Fault]:
    """Yields placeholders of answers that are no slot. After an action its result has more."""
    for language, text in rule.reply.items():
        known = slots | (set(placeholders(text)) if rule.kind == "action" else set())
        if piece := unknown_placeholder(text, known):
            yield Fault(f"{path}.{language}", _("%s names none of the slots.") % piece)


# Parts ------------------------------------------------------------------------------------------
def _spoken(
    spec: AssistantSpec, texts: Iterable[str], path: str, *, translated: bool = False
) -> Iterator[Fault]:
    """Yields the languages without a text. A model translates from one that has it."""
    missing = [language for language in spec.languages if language not in texts]
    if missing and not (translated and len(missing) < len(spec.languages)):
        text = _("A text is missing in these languages: %s.")
        yield Fault(path, text % ", ".join(missing))


def _texts(texts: Texts, path: str, most: int) -> Iterator[Fault]:
    for language, text in texts.items():
        yield from _text(text, f"{path}.{language}", most)


def _text(text: str, path: str, most: int) -> Iterator[Fault]:
    if not text.strip() or "\0" in text:
        yield Fault(path, _("A text is empty, or holds a NUL."))
    elif len(text) > most:
        yield Fault(path, _("At most %d characters.") % most)


def _words(words: list[str], path: str) -> Iterator[Fault]:
    yield from _within(len(words), path, 0, MOST_WORDS)
    for number, word in enumerate(words):
        yield from _text(word, f"{path}.{number}", LONGEST_WORD)


def _name(name: str, path: str) -> Iterator[Fault]:
    if not _NAME.fullmatch(name):
        text = _("A name has a small letter, then small letters, digits and _; 60 at most.")
        yield Fault(path, text)


def _unique(names: list[str], path: str, field: str) -> Iterator[Fault]:
    counts = Counter(names)
    for number, name in enumerate(names):
        if counts[name] > 1 and names.index(name) < number:
            yield Fault(f"{path}.{number}.{field}", _("This one is here twice."))


def _within(number: int, path: str, least: int, most: int) -> Iterator[Fault]:
    if not least <= number <= most:
        yield Fault(path, _("From %(least)d to %(most)d.") % {"least": least, "most": most})


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False
