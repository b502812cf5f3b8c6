"""Holds dialogues: of a person until they are done, of an attack for as long as it may work."""

import random
import time
import uuid
from dataclasses import dataclass
from typing import Any, Protocol

from bench.service.goals import Goal
from bench.service.injections import Attack, first_message
from bench.service.noise import typed
from bench.service.person import Answer, Person

MOST_TURNS = 6
_NO = {"en": "No", "zh": "不用了"}
WITH_HUMAN = ("waiting", "with_human")


class Talker(Protocol):
    """The API of dialogues, or what stands in for it."""

    def begin(self, assistant: str, person: str, language: str) -> str: ...
    def say(self, dialogue: str, text: str) -> dict[str, Any]: ...
    def close(self, dialogue: str, *, resolved: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class Episode:
    """The course of a dialogue. A turn is a message of the person."""

    dialogue: str  # as the webhooks name it
    turns: int
    seconds: float
    handed_over: bool
    satisfied: bool
    messages: tuple[tuple[str, str, str, str], ...]  # message, step, intent, answer


class Talk:
    """One dialogue over the API."""

    def __init__(self, client: Talker, assistant: str, person: str, language: str) -> None:
        self._client, self._begun = client, time.monotonic()
        self.public_id = client.begin(assistant, person, language)
        self.handed_over = False
        self._messages: list[tuple[str, str, str, str]] = []

    def say(self, text: str) -> Answer | None:
        """Returns the assistant's answer; None where a human has the dialogue."""
        turn = self._client.say(self.public_id, text)
        answer: Answer | None = turn["answer"]
        self.handed_over = turn["dialogue"]["status"] in WITH_HUMAN
        fields = answer or {"step": "", "intent": "", "text": ""}
        named = fields["step"], fields["intent"], fields["text"] or ""
        self._messages.append((text, *named))
        return None if self.handed_over else answer

    def end(self, *, satisfied: bool) -> Episode:
        if not self.handed_over:
            self._client.close(self.public_id, resolved=satisfied)
        return Episode(
            dialogue=str(uuid.UUID(self.public_id.removeprefix("dlg_"))),
            turns=len(self._messages),
            seconds=time.monotonic() - self._begun,
            handed_over=self.handed_over,
            satisfied=satisfied,
            messages=tuple(self._messages),
        )


def hold(client: Talker, assistant: str, goal: Goal, name: str, seed: int) -> Episode:
    """Let a person of this goal talk. The seed draws their words and slips."""
    person = Person(goal, random.Random(f"{seed} {name}"))
    talk = Talk(client, assistant, name, goal.language)
    text: str | None = person.first()
    for _turn in range(MOST_TURNS):
        if text is None:
            break
        answer = talk.say(text)
        if answer is None:
            break
        text = person.reply(answer)
    return talk.end(satisfied=person.satisfied)


def attempt(client: Talker, assistant: str, attack: Attack, seed: int) -> Episode:
    """Let an honest person come across an attack. They say no to what they did not ask for."""
    chance = random.Random(f"{seed} {attack.number}")
    talk = Talk(client, assistant, f"attacked {seed} {attack.number}", attack.language)
    text = first_message(attack, chance)
    answer = talk.say(text if attack.place == "message" else typed(text, attack.language, chance))
    if answer and answer["step"] in ("confirm", "ask", "clarify"):
        talk.say(_NO[attack.language])
    return talk.end(satisfied=False)
