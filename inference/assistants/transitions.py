"""Changes of a dialogue's state that several steps share."""

from hashlib import sha256
from typing import Any

import msgspec

from inference.assistants.spec import AssistantSpec
from inference.assistants.state import Arguments, HandOver, Pending, Result, Say, State, Step

MOST_FACTS = 60
_LONGEST_FACT = 2_000  # characters
Next = tuple[State, Step]


def changed(state: State, **changes: Any) -> State:
    return msgspec.structs.replace(state, **changes)


def settled(state: State) -> State:
    """Returns a state whose question is answered: does the person need anything else?"""
    more = Pending("more")
    return changed(state, intent="", slots={}, query="", pending=more, failures=0)


def ended(state: State, reason: str) -> State:
    return changed(settled(state), pending=None, over=reason)


def hand_over(state: State, reason: str) -> Next:
    """Let a human go on. A running action stays pending: its result is still recorded."""
    acting = state.pending is not None and state.pending.kind == "acting"
    pending = state.pending if acting else None
    return changed(state, over=reason, pending=pending), HandOver(reason)


def not_understood(spec: AssistantSpec, state: State, step: Step, reason: str) -> Next:
    """Ask again, or let a human go on after too many failures."""
    state = changed(state, failures=state.failures + 1)
    return hand_over(state, reason) if state.failures >= spec.most_failures else (state, step)


def clarify(spec: AssistantSpec, state: State, options: list[str]) -> Next:
    """Ask which of these intents is meant; without any, ask for other words."""
    state = changed(state, intent="", slots={}, pending=Pending("clarify", options=options))
    step = Say("clarify", options=options) if options else Say("rephrase")
    return not_understood(spec, state, step, "not_understood")


def recorded(state: State, pending: Pending, result: Result) -> State:
    """Returns the state with a result. What was refused or failed may be confirmed once more."""
    confirmed = state.confirmed
    if pending.confirmed and result.status in ("refused", "failed"):
        name = digest(pending.action, pending.arguments)
        confirmed = [each for each in confirmed if each != name]
    facts = with_facts(state.facts, bounded(result.values))
    return changed(state, pending=None, confirmed=confirmed, facts=facts)


def with_facts(facts: Arguments, values: Arguments) -> Arguments:
    """Returns the facts with newer ones; the oldest go first."""
    merged = {**{name: facts[name] for name in facts if name not in values}, **values}
    return dict(list(merged.items())[-MOST_FACTS:])


def bounded(values: Arguments) -> Arguments:
    """Returns the plain values of a result: numbers, and texts of bounded length."""
    plain = {name: value for name, value in values.items() if isinstance(value, str | int | float)}
    texts = {name: value for name, value in plain.items() if isinstance(value, str)}
    return {**plain, **{name: text[:_LONGEST_FACT] for name, text in texts.items()}}


def digest(action: str, arguments: Arguments) -> str:
    """Returns a name for an action with its arguments."""
    content = msgspec.json.encode([action, arguments], order="sorted")
    return sha256(content).hexdigest()[:16]
