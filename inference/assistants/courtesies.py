"""Sentences that mean the same whatever goes on: thanks, farewells, "never mind", "shorter"."""

from inference.assistants import sentences
from inference.assistants.message import Message
from inference.assistants.state import Ask, Confirm, Done, Pending, Say, Search, Step
from inference.assistants.transitions import Next, changed, ended, settled


def courtesy(message: Message) -> Next | None:
    """Returns the step after such a sentence, or None."""
    state = message.state
    if message.means("cancel", "thanks"):
        return settled(state), Say("cancelled")
    if sentences.wish(message.text):
        return _wish(message)
    if state.pending is None or state.pending.kind == "more":
        return _where_nothing_is_open(message)
    if message.means("goodbye", "thanks") and not message.means("no"):
        return ended(state, "left"), Done("left")
    return None


def _where_nothing_is_open(message: Message) -> Next | None:
    state, after_answer = settled(message.state), message.state.pending is not None
    if message.means("goodbye", "thanks", "no"):
        return ended(state, "resolved"), Done()
    if after_answer and message.means("no", "thanks"):
        return ended(state, "resolved"), Done()
    if message.means("thanks", "yes"):
        return state, Say("welcome")
    if message.means("greeting", "thanks"):
        return state, Say("greeting")
    return (state, Say("go_on")) if after_answer and message.means("yes") else None


def _wish(message: Message) -> Next:
    """Returns the open question, the last answer in the wanted length, or a promise."""
    state = message.state
    if question := _open_question(message):
        return state, question
    if state.query and message.spec.knowledge:
        return changed(state, pending=Pending("searching")), Search(state.query)
    return state, Say("wish", {"length": state.wish})


def _open_question(message: Message) -> Step | None:
    state, pending = message.state, message.state.pending
    if pending is None:
        return None
    questions: dict[str, Step] = {
        "slot": Ask(pending.slot, state.intent),
        "confirm": Confirm(pending.action, pending.arguments, state.intent),
        "clarify": Say("clarify" if pending.options else "rephrase", options=pending.options),
    }
    return questions.get(pending.kind)
