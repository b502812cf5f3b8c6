"""One message of a person in a dialogue: which intent it names, and the step of its rule."""

from collections.abc import Sequence
from datetime import date

from inference.assistants import set_phrases
from inference.assistants.slots.extraction import cleaned, extract
from inference.assistants.spec import AssistantSpec, Intent, Slot
from inference.assistants.state import Act, Arguments, Ask, Confirm, Pending, Say, Search, State
from inference.assistants.transitions import (
    Next,
    changed,
    clarify,
    digest,
    hand_over,
    settled,
    with_facts,
)
from inference.assistants.understanding import Prediction

_LONGEST = 4_000  # characters of a message that are read
_LIKELY = 0.1  # of an intent that a clarifying question offers
_MOST_OPTIONS = 2


class Message:
    """A message, and the state after it was heard."""

    def __init__(
        self,
        spec: AssistantSpec,
        state: State,
        text: str,
        predictions: Sequence[Prediction],
        today: date | None,
    ) -> None:
        self.spec, self.today = spec, today
        self.text = cleaned(text[:_LONGEST])[:_LONGEST]  # a character may become eighteen
        self.predictions = [each for each in predictions if spec.intent(each.intent)]
        language = set_phrases.language(self.text, state.language, list(spec.languages))
        wish = set_phrases.wish(self.text) or state.wish
        self.state = changed(state, turns=state.turns + 1, language=language, wish=wish)

    def means(self, meaning: str, *others: str) -> bool:
        return set_phrases.is_one(self.text, meaning, *others)

    def sure_intent(self, least: float = 0.0) -> Intent | None:
        """Returns the intent that the classifier is sure of."""
        best = self.predictions[0] if self.predictions and self.text else None
        if best is None or best.probability < max(self.spec.sure, least):
            return None
        return self.spec.intent(best.intent)

    def anew(self) -> Next:
        """Returns the step of the message's intent, or a question or search if not sure."""
        intent = self.sure_intent()
        return self.begin(intent) if intent else self._unsure()

    def _unsure(self) -> Next:
        likely = [each for each in self.predictions if each.probability >= _LIKELY]
        options = [each.intent for each in likely[:_MOST_OPTIONS]]
        state = changed(self.state, intent="", slots={}, query=self.text)
        if self.spec.unsure == "knowledge" and self.spec.knowledge and self.text:
            pending = Pending("searching", unsure=True, options=options)
            return changed(state, pending=pending), Search(self.text)
        return clarify(self.spec, state, options)

    def begin(self, intent: Intent, query: str = "") -> Next:
        """Begin an intent. What the message or the dialogue has named is not asked for.

        `query` is an earlier message that meant this intent.
        """
        facts = self.state.facts
        numbers = [slot.name for slot in intent.slots if slot.kind == "order_number"]
        known = {name: facts[name] for name in numbers if name in facts}
        text = f"{query} {self.text}".strip()
        query = query or self.text
        self.state = changed(self.state, intent=intent.name, slots=known, query=query)
        return self.fill(intent, extract(intent.slots, text, "", self.today).values)

    def fill(self, intent: Intent, values: Arguments) -> Next:
        """Set values of slots, then ask for the next one or follow the rule."""
        slots, facts = {**self.state.slots, **values}, with_facts(self.state.facts, values)
        # A question counts as understood once the search has an answer.
        failures = self.state.failures if intent.rule.kind == "knowledge" else 0
        self.state = changed(self.state, slots=slots, facts=facts, failures=failures, pending=None)
        for slot in intent.slots:
            if slot.name not in slots and not slot.optional:
                return self.ask(slot.name)
        return self._rule(intent)

    def ask(self, slot: str) -> Next:
        state = changed(self.state, pending=Pending("slot", slot=slot))
        return state, Ask(slot, state.intent)

    def _rule(self, intent: Intent) -> Next:
        state = self.state
        if intent.rule.kind == "hand_over":
            return hand_over(state, "rule")
        if intent.rule.kind == "answer":
            return settled(state), Say("reply", state.slots, intent.name)
        if intent.rule.kind == "knowledge":
            query = " ".join([state.query, *map(str, state.slots.values())])
            return changed(state, pending=Pending("searching")), Search(query, intent.name)
        arguments = {slot.name: state.slots[slot.name] for slot in _filled(intent, state)}
        if intent.rule.confirm:
            return self._confirm(intent, arguments)
        return self.act(intent.rule.action, arguments, confirmed=False)

    def _confirm(self, intent: Intent, arguments: Arguments) -> Next:
        pending = Pending("confirm", action=intent.rule.action, arguments=arguments)
        if already := self.already(intent, pending):
            return already
        step = Confirm(pending.action, arguments, intent.name)
        return changed(self.state, pending=pending), step

    def already(self, intent: Intent, pending: Pending) -> Next | None:
        """Returns the step where the action was confirmed and done before; None elsewhere."""
        if digest(pending.action, pending.arguments) not in self.state.confirmed:
            return None
        return settled(self.state), Say("already", pending.arguments, intent.name)

    def act(self, action: str, arguments: Arguments, *, confirmed: bool) -> Next:
        state, number = self.state, self.state.actions + 1
        names = [*state.confirmed, *([digest(action, arguments)] if confirmed else [])]
        pending = Pending("acting", "", action, arguments, confirmed, number)
        state = changed(state, actions=number, confirmed=names, pending=pending, failures=0)
        return state, Act(action, arguments, number, confirmed, state.intent)


def _filled(intent: Intent, state: State) -> list[Slot]:
    return [slot for slot in intent.slots if slot.name in state.slots]
