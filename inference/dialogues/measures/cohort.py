"""The dialogues of a report, and those behind one of its figures.

A dialogue counts once the person has written. It is over when it is resolved, closed or handed
over, or when nobody has written for an hour; rates are shares of those that are over.
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db.models import Exists, F, OuterRef, Q, QuerySet, TextChoices
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from inference.dialogues.measures.span import Span
from inference.models import (
    ActionCall,
    Dialogue,
    DialogueHandOver,
    DialogueStatus,
    DialogueTurn,
    TurnStep,
)
from inference.models.assistants.action_call import CallState

SILENCE = timedelta(hours=1)
S = DialogueStatus

OVER = (
    Q(status__in=(S.RESOLVED, S.CLOSED))
    | Q(handed_over_at__isnull=False)
    | Q(changed_at__lt=Now() - SILENCE)
)
HANDED_OVER = Q(handed_over_at__isnull=False)
# What the person says counts most; without a word, an answer after which nothing was open.
CONFIRMED = Q(handed_over_at=None, was_resolved=True)
RESOLVED = CONFIRMED | Q(handed_over_at=None, was_resolved=None, answered_at__isnull=False)
UNRESOLVED = Q(handed_over_at=None) & ~RESOLVED


class Outcome(TextChoices):
    RESOLVED = "resolved", _("Resolved by the assistant")
    CONFIRMED = "confirmed", _("Resolved, as the person says")
    HANDED_OVER = "handed_over", _("Handed over")
    UNRESOLVED = "unresolved", _("Not resolved")
    UNDER_WAY = "under_way", _("Under way")


class CallOutcome(TextChoices):
    """The outcome of a call of an action, as figures name it."""

    DONE = "done", _("Done")
    REFUSED = "refused", _("Refused by the service")
    UNKNOWN = "unknown", _("Outcome unknown")
    NOT_SENT = "not_sent", _("Not sent")


OUTCOMES: dict[str, Q] = {
    Outcome.RESOLVED: OVER & RESOLVED,
    Outcome.CONFIRMED: OVER & CONFIRMED,
    Outcome.HANDED_OVER: HANDED_OVER,
    Outcome.UNRESOLVED: OVER & UNRESOLVED,
    Outcome.UNDER_WAY: ~OVER,
}
CALL_STATES: dict[str, CallState] = {
    CallOutcome.DONE: CallState.SUCCEEDED,
    CallOutcome.REFUSED: CallState.FAILED,
    CallOutcome.UNKNOWN: CallState.UNKNOWN,
    CallOutcome.NOT_SENT: CallState.NOT_SENT,
}


@dataclass(frozen=True, slots=True)
class Cohort:
    """Dialogues of a tenant that began within a span, and what they have in common."""

    tenant_id: UUID
    span: Span
    assistant: UUID | None = None
    version: int | None = None
    channel: str = ""
    language: str = ""
    intent: str = ""

    @property
    def rows(self) -> QuerySet[Dialogue]:
        rows = Dialogue.objects.filter(
            tenant_id=self.tenant_id,
            created_at__gte=self.span.since,
            created_at__lt=self.span.until,
            turns_count__gt=0,
        )
        fixed = {
            "assistant_id": self.assistant,
            "version": self.version,
            "channel": self.channel,
            "language": self.language,
            "intents__contains": [self.intent] if self.intent else None,
        }
        return rows.filter(**{name: value for name, value in fixed.items() if value})


@dataclass(frozen=True, slots=True)
class Narrowing:
    """Names the dialogues of a cohort that a figure leads to. The last three are lower bounds."""

    outcome: str = ""
    reason: str = ""  # of a hand-over
    call: str = ""  # outcome of a call
    action: str = ""  # of such a call
    satisfaction: int | None = None
    turns: int | None = None
    answer_ms: int | None = None
    resolve_s: int | None = None

    def of(self, rows: QuerySet[Dialogue]) -> QuerySet[Dialogue]:
        if self.outcome:
            rows = rows.filter(OUTCOMES[self.outcome])
        if self.satisfaction:
            rows = rows.filter(satisfaction=self.satisfaction)
        if self.turns:
            rows = rows.filter(OVER, turns_count__gte=self.turns)
        if self.resolve_s:
            longest = F("created_at") + timedelta(seconds=self.resolve_s)
            rows = rows.filter(OVER & RESOLVED, answered_at__gte=longest)
        return self._by_parts(rows)

    def _by_parts(self, rows: QuerySet[Dialogue]) -> QuerySet[Dialogue]:
        own = {"tenant_id": OuterRef("tenant_id"), "dialogue_id": OuterRef("pk")}
        if self.reason:
            rows = rows.filter(Exists(DialogueHandOver.objects.filter(**own, reason=self.reason)))
        if self.call or self.action:
            states = [CALL_STATES[self.call]] if self.call else list(CALL_STATES.values())
            calls = ActionCall.objects.filter(**own, state__in=states)
            calls = calls.filter(action_name=self.action) if self.action else calls
            rows = rows.filter(Exists(calls))
        if self.answer_ms:
            turns = DialogueTurn.objects.filter(**own, step=TurnStep.ANSWERED)
            longest = F("created_at") + timedelta(milliseconds=self.answer_ms)
            rows = rows.filter(Exists(turns.filter(ended_at__gte=longest)))
        return rows


def outcome_of(dialogue: Dialogue, is_over: bool) -> Outcome:
    """Returns the outcome as the queries above have it, of a row annotated with whether it is."""
    if dialogue.handed_over_at:
        return Outcome.HANDED_OVER
    if not is_over:
        return Outcome.UNDER_WAY
    if dialogue.was_resolved:
        return Outcome.CONFIRMED
    is_resolved = dialogue.was_resolved is None and dialogue.answered_at
    return Outcome.RESOLVED if is_resolved else Outcome.UNRESOLVED
