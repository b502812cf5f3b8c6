"""The memory of an assistant in a dialogue, and the steps that it takes."""

from typing import Literal

import msgspec

from inference.assistants.spec import Value

Arguments = dict[str, Value]


class Frozen(msgspec.Struct, frozen=True, omit_defaults=True):
    pass


class Pending(Frozen, frozen=True):
    """The input that the assistant waits for.

    `slot`: a value of the slot. `confirm`: a yes to the action with these arguments. `clarify`: one
    of the intents `options`. `acting`: the result of the action. `searching`: the passages.
    `more`: whether the person needs anything else.
    """

    kind: Literal["slot", "confirm", "clarify", "acting", "searching", "more"]
    slot: str = ""
    action: str = ""
    arguments: Arguments = {}
    confirmed: bool = False
    number: int = 0  # of the action
    unsure: bool = False  # the search is for a message that no intent was sure of
    options: list[str] = []


class State(Frozen, frozen=True):
    """A dialogue between two messages. It is JSON; `{}` is a new dialogue.

    `facts` are what the person or an action has named. `actions` counts the actions so far.
    `confirmed` has the confirmed actions that were done or may have been done. `over` is the reason
    why the assistant says no more.
    """

    intent: str = ""
    slots: Arguments = {}
    pending: Pending | None = None
    failures: int = 0  # messages in a row that were not understood
    unhelpful: int = 0  # answers that did not help, as the person says
    turns: int = 0
    language: str = ""
    facts: Arguments = {}
    wish: Literal["", "short", "long"] = ""
    query: str = ""  # the message that named the intent, or the last question
    actions: int = 0
    confirmed: list[str] = []
    over: str = ""


class Say(Frozen, frozen=True, tag=True):
    """Say the words of `key` (`phrases.toml`), or of an intent's reply."""

    key: str
    values: Arguments = {}
    intent: str = ""
    options: list[str] = []  # intents to choose from


class Ask(Frozen, frozen=True, tag=True):
    """Ask for a slot of an intent. `again`: the last answer had no such value."""

    slot: str
    intent: str = ""
    again: bool = False


class Confirm(Frozen, frozen=True, tag=True):
    action: str
    arguments: Arguments
    intent: str = ""


class Act(Frozen, frozen=True, tag=True):
    """Call an action, once. `number` counts the dialogue's actions from 1: with the dialogue's id
    it names the call. `confirmed`: the person said yes to these arguments.
    """

    action: str
    arguments: Arguments
    number: int = 0
    confirmed: bool = False
    intent: str = ""


class Search(Frozen, frozen=True, tag=True):
    """Search the knowledge base. `after_search` takes the passages."""

    query: str
    intent: str = ""


class HandOver(Frozen, frozen=True, tag=True):
    """A human goes on. The assistant says nothing until `resumed`."""

    reason: str


class Done(Frozen, frozen=True, tag=True):
    """The dialogue is over."""

    reason: str = "resolved"


class Wait(Frozen, frozen=True, tag=True):
    """Say nothing: the dialogue is over, or with a human, or the report came twice."""


Step = Say | Ask | Confirm | Act | Search | HandOver | Done | Wait

_ANSWERS = ("reply", "passages", "done", "already")
_COURTESIES = ("welcome", "greeting", "go_on", "wish", "cancelled", "working")


def is_answered(step: Step) -> bool | None:
    """Returns whether nothing is open after the step; None if it changes nothing of that."""
    match step:
        case Say(key=key) if key in _COURTESIES:
            return None
        case Say(key=key):
            return key in _ANSWERS
        case Wait() | Done(reason="resolved"):
            return None
    return False


class Result(Frozen, frozen=True):
    """The result of the action with this number.

    `refused`: the other side says no, nothing was done. `failed`: nothing was done. `unknown`: it
    may have been done, and is never tried again.
    """

    status: Literal["done", "refused", "failed", "unknown"]
    number: int
    values: Arguments = {}


packed = msgspec.json.encode
unpacked = msgspec.json.Decoder(State).decode
