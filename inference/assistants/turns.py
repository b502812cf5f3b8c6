"""The state machine of a dialogue: which step follows a message, a result or passages.

It is pure: no clock, no database, no model. The same arguments give the same step, and a state
that was stored before a crash goes on afterwards. It holds these promises
(`tests/inference/assistants/test_promises_of_turns.py`):

- An action that is confirmed first runs after a plain yes to exactly its arguments, and at no other
  time; in a dialogue once, unless its result says that nothing was done.
- While an action runs, no other begins. A result that comes twice changes nothing.
- Every dialogue ends: after `most_turns` messages a human goes on.
"""

from collections.abc import Sequence
from datetime import date
from typing import Protocol

from inference.assistants import set_phrases
from inference.assistants.courtesies import courtesy
from inference.assistants.intent_steps import Message
from inference.assistants.replies import reply
from inference.assistants.spec import AssistantSpec
from inference.assistants.state import Result, Say, State, Wait
from inference.assistants.transitions import (
    Next,
    bounded,
    changed,
    clarify,
    hand_over,
    not_understood,
    recorded,
    settled,
)
from inference.assistants.understanding import Prediction


class Passage(Protocol):
    """A passage of a knowledge base, as far as a step depends on it."""

    @property
    def score(self) -> float: ...


def opened(spec: AssistantSpec, language: str = "") -> Next:
    """Returns the state and the greeting of a new dialogue."""
    known = next((each for each in spec.languages if each == language), spec.languages[0])
    return State(language=known), Say("greeting")


def take(
    spec: AssistantSpec,
    state: State,
    text: str,
    predictions: Sequence[Prediction],
    today: date | None = None,
) -> Next:
    """Returns the state and the step after a person's message.

    `predictions` are the likeliest first (`understanding.classify`). Words such as "tomorrow" are
    dates only if `today` is set.
    """
    if state.over:
        return state, Wait()
    message = Message(spec, state, text, predictions, today)
    if set_phrases.wants_human(message.text, spec.hand_over_words):
        return hand_over(message.state, "asked")
    if message.state.turns > spec.most_turns:
        return hand_over(message.state, "turn_limit")
    if state.pending and state.pending.kind == "acting":
        return message.state, Say("working", intent=state.intent)
    return courtesy(message) or reply(message) or message.anew()


def after_action(spec: AssistantSpec, state: State, result: Result) -> Next:
    """Returns the state and the step after the pending action's result.

    A result of another action, or a second one, changes nothing. After a hand-over a result is kept
    as facts.
    """
    pending = state.pending
    if pending is None or pending.kind != "acting" or result.number != pending.number:
        return state, Wait()
    state = recorded(state, pending, result)
    if state.over:
        return state, Wait()
    if result.status in ("failed", "unknown"):
        return hand_over(state, f"action_{result.status}")
    values = {**pending.arguments, **bounded(result.values)}
    return settled(state), Say(result.status, values, state.intent)


def after_search(spec: AssistantSpec, state: State, passages: Sequence[Passage]) -> Next:
    """Returns the state and the step after a search: `Say("passages")` if any is good enough."""
    pending = state.pending
    if state.over or pending is None or pending.kind != "searching":
        return state, Wait()
    if any(passage.score >= spec.least_score for passage in passages):
        step = Say("passages", {"query": state.query}, state.intent)
        return changed(settled(state), query=state.query), step
    if pending.unsure:
        return clarify(spec, state, pending.options)
    failures, step = state.failures, Say("nothing", intent=state.intent)
    return not_understood(spec, changed(settled(state), failures=failures), step, "nothing")


def resumed(state: State) -> State:
    """Returns the state after a human has given the dialogue back: it counts turns anew.

    An action that still runs stays pending.
    """
    if state.pending and state.pending.kind == "acting":
        return changed(state, over="", failures=0, unhelpful=0, turns=0)
    return changed(settled(state), over="", unhelpful=0, turns=0)
