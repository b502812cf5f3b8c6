"""The report of customer service: in all, over time, by what dialogues have in common."""

from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from django.db.models import Aggregate, CharField, Count, F, Func, Q, QuerySet, TextChoices
from django.db.models.functions import Extract
from django.utils.translation import gettext_lazy as _

from inference.dialogues.measures.cohort import CALL_STATES, CallOutcome, Cohort
from inference.dialogues.measures.figures import (
    Figures,
    Percentile,
    made,
    of_dialogues,
    of_turns,
)
from inference.models import ActionCall, DialogueHandOver, DialogueTurn, TurnStep
from inference.models.assistants.hand_over import HandOverEnd

MOST_DIALOGUES = 100_000  # of a report: beyond, its statements would take seconds
MOST_GROUPS = 50


class By(TextChoices):
    INTENT = "intent", _("Intent")
    VERSION = "version", _("Version")
    CHANNEL = "channel", _("Channel")
    LANGUAGE = "language", _("Language")


class TooMany(Exception):
    """More dialogues than a report reads at once."""


class _Each(Func):
    """Returns a row for each element of an array."""

    function = "unnest"
    set_returning = True


@dataclass(frozen=True, slots=True)
class HandOvers:
    """Hand-overs of one reason."""

    reason: str
    dialogues: int
    resolved: int  # by a human
    waited_p50_s: float | None  # for a human, of those who got one


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls of one action, by outcome."""

    action: str
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class Group:
    """Figures of dialogues with one value. `assistant` tells versions of one number apart."""

    value: str
    figures: Figures
    assistant: UUID | None = None


@dataclass(frozen=True, slots=True)
class ServiceReport:
    cohort: Cohort

    def check(self) -> None:
        """Raises TooMany."""
        if self.cohort.rows[: MOST_DIALOGUES + 1].count() > MOST_DIALOGUES:
            raise TooMany

    @property
    def total(self) -> Figures:
        of_all = self.cohort.rows.aggregate(**of_dialogues())
        return made(of_all, self._turns.aggregate(**of_turns()))

    def series(self) -> list[tuple[date, Figures]]:
        """Returns figures of each day or week, oldest first; empty ones too."""
        begins = self.cohort.span.begins
        rows = _by(self.cohort.rows.annotate(key=begins("created_at")), of_dialogues())
        turns = _by(self._turns.annotate(key=begins("dialogue__created_at")), of_turns())
        by_day = {key.date(): made(row, turns.get(key, {})) for key, row in rows.items()}
        return [(day, by_day.get(day, Figures())) for day in self.cohort.span.periods()]

    def groups(self, by: By) -> list[Group]:
        """Returns figures by value, the largest first. A dialogue counts in each of its intents."""
        if by == By.VERSION:
            return self._versions()
        rows = _by(self.cohort.rows.annotate(key=_key(by, "")), of_dialogues())
        turns = _by(self._turns.annotate(key=_key(by, "dialogue__")), of_turns())
        largest = sorted(rows.items(), key=lambda item: (-item[1]["dialogues"], item[0] or ""))
        return [
            Group(value, made(row, turns.get(value, {}))) for value, row in largest[:MOST_GROUPS]
        ]

    def _versions(self) -> list[Group]:
        names = ("assistant_id", "version")
        rows = self.cohort.rows.values(*names).annotate(**of_dialogues()).order_by("-dialogues")
        inner = [f"dialogue__{name}" for name in names]
        turns = {
            tuple(row[name] for name in inner): row
            for row in self._turns.values(*inner).annotate(**of_turns()).order_by()
        }
        return [
            Group(str(row["version"]), made(row, turns.get(key, {})), row["assistant_id"])
            for row in rows[:MOST_GROUPS]
            for key in [(row["assistant_id"], row["version"])]
        ]

    def hand_overs(self) -> list[HandOvers]:
        """Returns hand-overs by reason, the most frequent first."""
        rows = DialogueHandOver.objects.filter(
            tenant_id=self.cohort.tenant_id, dialogue__in=self.cohort.rows
        )
        waited = Extract(F("taken_at") - F("asked_at"), "epoch")
        counted = rows.values("reason").annotate(
            dialogues=Count("dialogue", distinct=True),
            resolved=Count("dialogue", distinct=True, filter=Q(ending=HandOverEnd.RESOLVED)),
            waited_p50_s=Percentile(waited, 0.5),
        )
        return [HandOvers(**row) for row in counted.order_by("-dialogues", "reason")[:MOST_GROUPS]]

    def calls(self) -> list[Calls]:
        """Returns calls by action and outcome, the most frequent first."""
        rows = ActionCall.objects.filter(
            tenant_id=self.cohort.tenant_id, dialogue_id__in=self.cohort.rows.values("pk")
        )
        counts: dict[str, Aggregate] = {
            outcome.value: Count("pk", filter=Q(state=CALL_STATES[outcome]))
            for outcome in CallOutcome
        }
        ended: Any = rows.filter(state__in=CALL_STATES.values()).values("action_name")
        counted = ended.annotate(all=Count("pk"), **counts).order_by("-all", "action_name")
        return [
            Calls(row["action_name"], {outcome: row[outcome] for outcome in counts})
            for row in counted[:MOST_GROUPS]
        ]

    def ratings(self) -> dict[int, int]:
        """Returns how many people gave each mark, from 5 to 1."""
        rows = self.cohort.rows.exclude(satisfaction=None).values("satisfaction")
        marks = {row["satisfaction"]: row["n"] for row in rows.annotate(n=Count("pk")).order_by()}
        return {mark: marks.get(mark, 0) for mark in (5, 4, 3, 2, 1)}

    @property
    def _turns(self) -> QuerySet[DialogueTurn]:
        rows = DialogueTurn.objects.filter(tenant_id=self.cohort.tenant_id, step=TurnStep.ANSWERED)
        return rows.filter(dialogue__in=self.cohort.rows)


def _by(rows: QuerySet[Any], figures: dict[str, Any]) -> dict[Any, dict[str, Any]]:
    """Returns the aggregates by the column `key`."""
    counted = rows.values("key").annotate(**figures).order_by()
    return {row["key"]: row for row in counted}


def _key(by: By, prefix: str) -> Any:
    if by == By.INTENT:
        return _Each(F(f"{prefix}intents"), output_field=CharField())
    return F(f"{prefix}{by}")
