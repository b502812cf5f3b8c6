"""The content of an assistant's version. `checks.py` says what may be in it."""

from typing import Literal, get_args

import msgspec

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
Tone = Literal["neutral", "friendly", "formal"]
Length = Literal["short", "medium", "long"]
SlotKind = Literal["text", "number", "date", "choice", "order_number"]
RuleKind = Literal["answer", "knowledge", "action", "hand_over"]
Value = str | int | float  # of a slot, an argument or a fact
Texts = dict[Language, str]  # a text in each language


class Part(
    msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True
):
    """A part of a spec. Unknown fields are errors: they are typing mistakes."""


class Choice(Part, frozen=True, kw_only=True):
    """A value of a slot, and the words by which people name it."""

    value: str
    words: dict[Language, list[str]] = {}


class Slot(Part, frozen=True, kw_only=True):
    """Something that an intent needs to know before its rule runs.

    `pattern` is for order numbers, `choices` for a choice. An optional slot is used if the person
    names it, and never asked for.
    """

    name: str
    kind: SlotKind
    title: Texts = {}
    ask: Texts = {}
    pattern: str = ""
    choices: list[Choice] = []
    optional: bool = False


class Rule(Part, frozen=True, kw_only=True):
    """The way to answer an intent.

    `reply` may have `{{name}}` of slots; after an action also of the fields of its result.
    `confirm` asks the person before the action. Actions that move money always ask.
    """

    kind: RuleKind
    action: str = ""
    reply: Texts = {}
    confirm: bool = True


class Intent(Part, frozen=True, kw_only=True):
    """A wish that people have, with examples of its sentences.

    `title` completes "Do you mean …?".
    """

    name: str
    title: Texts = {}
    examples: dict[Language, list[str]]
    slots: list[Slot] = []
    rule: Rule
    length: Length = "medium"


class AssistantSpec(Part, frozen=True, kw_only=True):
    """The content of a version.

    A prediction of at least `sure` counts; a message below it is *not sure*. It leads to a
    clarifying question or, with `unsure = "knowledge"`, to a search first. After `most_failures`
    messages in a row that were not understood, a human takes over.
    """

    languages: list[Language]
    tone: Tone = "neutral"
    chat_model: str = ""  # empty: answers in the plain words of rules and passages
    embedding_model: str
    knowledge: str | None = None  # UUID of a knowledge base
    greeting: Texts = {}
    intents: list[Intent]
    actions: list[str] = []
    sure: float = 0.6
    unsure: Literal["clarify", "knowledge"] = "clarify"
    least_score: float = 0.0  # from 0 to 1: without a passage above it there is no answer
    most_turns: int = 12
    most_failures: int = 2
    hand_over_words: list[str] = []

    def intent(self, name: str) -> Intent | None:
        return next((intent for intent in self.intents if intent.name == name), None)

    def confirming(self, actions: frozenset[str]) -> "AssistantSpec":
        """Returns the spec with a confirmation before these actions, whatever its rules say.

        Whoever runs a dialogue passes the actions that move money now.
        """
        return msgspec.structs.replace(
            self, intents=[_confirming(intent, actions) for intent in self.intents]
        )


def _confirming(intent: Intent, actions: frozenset[str]) -> Intent:
    if intent.rule.action not in actions or intent.rule.confirm:
        return intent
    rule = msgspec.structs.replace(intent.rule, confirm=True)
    return msgspec.structs.replace(intent, rule=rule)


packed = msgspec.json.encode
unpacked = msgspec.json.Decoder(AssistantSpec).decode
