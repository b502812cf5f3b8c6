"""A made-up person in a dialogue: what they write first, and in reply to each answer.

They see what a person sees: the answer's words, and whether it asks, confirms or is done (`step`).
They never use the words for a human: who is handed over was understood.
"""

import random
from dataclasses import dataclass, field
from typing import Any

from bench.service.assistant import ASK, HANDBOOK_URL, TITLES
from bench.service.goals import QUESTIONS, SENTENCES, Goal, Kind, Twist
from bench.service.noise import typed

Answer = dict[str, Any]  # as the API gives it
INTENTS = {
    Kind.STATUS: "track", Kind.REFUND: "refund", Kind.DISPUTE: "refund", Kind.CANCEL: "cancel",
    Kind.ADDRESS: "move", Kind.QUESTION: "question", Kind.COMPLAINT: "complaint",
    Kind.ACCOUNT: "account",
}  # fmt: skip
_FIRST = {Kind.DISPUTE: "refund"}  # sentences of another kind
_ON_ORDERS = (Kind.STATUS, Kind.REFUND, Kind.DISPUTE, Kind.CANCEL, Kind.ADDRESS)


@dataclass(slots=True)
class Person:
    goal: Goal
    chance: random.Random
    satisfied: bool = False
    _used: list[str] = field(default_factory=list)
    _twisted: bool = False

    def first(self) -> str:
        text = self._ask()
        if self.goal.kind in _ON_ORDERS and self.goal.names_order:
            text = self._say("with_order", text=text, order=self._order_now)
        return text

    def reply(self, answer: Answer) -> str | None:
        """Returns the next message; None if they are done, or see that it leads nowhere."""
        step = answer["step"]
        if step == "ask":
            return self._tell(answer["text"])
        if step == "confirm":
            return self._confirm(answer["text"])
        if step == "clarify":
            return self._choose(answer["text"])
        if step == "passages":
            return self._read(answer)
        if step in ("done", "refused", "cancelled", "already"):
            return self._outcome(step)
        return self._ask()

    # What they write ------------------------------------------------------------------------------
    @property
    def _order_now(self) -> str:
        """The order that they have in mind so far."""
        corrected = self.goal.twist is not Twist.CORRECTS or self._twisted
        return self.goal.order.number if corrected else self.goal.orders[0].number

    def _ask(self) -> str:
        """Returns the wish in words that they have not used yet, with slips."""
        goal = self.goal
        if goal.kind is Kind.QUESTION:
            sentences = QUESTIONS[goal.section][goal.language]
        else:
            sentences = SENTENCES[_FIRST.get(goal.kind, goal.kind.value)][goal.language]
        fresh = [text for text in sentences if text not in self._used] or sentences
        text = self.chance.choice(fresh)
        self._used.append(text)
        return typed(text, goal.language, self.chance)

    def _say(self, meaning: str, **values: str) -> str:
        text: str = self.chance.choice(SENTENCES[meaning][self.goal.language])
        return text.format(**values)

    # Replies --------------------------------------------------------------------------------------
    def _tell(self, question: str) -> str:
        if any(text in question for text in ASK["address"].values()):
            return self._say("give_address", address=self.goal.address)
        return self._say("give_order", order=self._order_now)

    def _confirm(self, question: str) -> str:
        goal = self.goal
        if goal.kind not in INTENTS or self._order_now not in question:
            return self._say("withdraw")  # something that they never asked for
        if goal.twist is Twist.WITHDRAWS:
            return self._say("withdraw")
        if goal.twist is Twist.CORRECTS and not self._twisted:
            self._twisted = True
            return self._say("correct", other=goal.order.number)
        if goal.kind is Kind.ADDRESS and goal.address not in question:
            return self._say("withdraw")
        return self._say("yes")

    def _choose(self, question: str) -> str:
        title = TITLES.get(INTENTS.get(self.goal.kind, ""), {}).get(self.goal.language)
        if title and title in question:
            return self._say("option", title=title)
        return self._ask()

    def _read(self, answer: Answer) -> str | None:
        """A question is answered if the first source is its section."""
        sources = answer["sources"]
        first = sources[0]["url"] if sources else ""
        if self.goal.kind is Kind.QUESTION and is_section(first, self.goal.section):
            self.satisfied = True
            return None
        return self._say("unhelpful")

    def _outcome(self, step: str) -> str | None:
        if step == "refused" and self.goal.kind is Kind.DISPUTE:
            return self._say("dispute")
        if not self.goal.solvable:
            return self._ask()
        self.satisfied = step in ("done", "cancelled")
        return None


def is_section(url: str, section: str) -> bool:
    """Returns whether a source's address is the section's: "returns" in "…#returns-退货"."""
    anchor = url.removeprefix(HANDBOOK_URL).partition("#")[2]
    return anchor == section or anchor.startswith(f"{section}-")
