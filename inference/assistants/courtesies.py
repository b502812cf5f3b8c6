"""Sentences that mean the same whatever goes on: thanks, farewells, "that does not help"."""

from inference.assistants import set_phrases
from inference.assistants.intent_steps import Message
from inference.assistants.state import Ask, Confirm, Done, Pending, Say, Search, Step
from inference.assistants.transitions import Next, changed, ended, hand_over, settled

_SURE_BESIDE_DISCONTENT = 0.9  # of another wish in the same message
_MOST_UNHELPFUL = 2  # answers: then a human goes on


def courtesy(message: Message) -> Next | None:
    """Returns the step after such a sentence, or None."""
    state = message.state
    if message.means("cancel", "thanks", "no"):
        return settled(state), Say("cancelled")
    if set_phrases.wish(message.text):
        return _wish(message)
    if state.pending is None or state.pending.kind == "more":
        return _discontent(message) or _where_nothing_is_open(message)
    if message.means("goodbye", "thanks") and not message.means("no"):
        return ended(state, "left"), Done("left")
    return None


def _discontent(message: Message) -> Next | None:
    """Returns the step after "that does not help", or after "I do not accept that"; else None."""
    state = message.state
    if state.pending is None or _names_another_wish(message):
        return None
    if set_phrases.is_disagreement(message.text):
        return hand_over(state, "not_accepted")
    if not set_phrases.is_unhelpful(message.text):
        return None
    state = changed(state, unhelpful=state.unhelpful + 1)
    if state.unhelpful >= _MOST_UNHELPFUL:
        return hand_over(state, "not_helped")
    return state, Say("rephrase")


def _names_another_wish(message: Message) -> bool:
    """Returns whether a rule with an action or an answer is sure: no search, and no hand-over."""
    intent = message.sure_intent(_SURE_BESIDE_DISCONTENT)
    return intent is not None and intent.rule.kind in ("action", "answer")


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
