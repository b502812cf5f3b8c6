"""The lines of the inbox: dialogues that wait for people or are with one, the longest first."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Case, When
from django.utils import timezone

from console.inbox.words import reason_text
from console.trail.actors import Actors
from inference.models import Dialogue, DialogueHandOver, DialogueStatus
from tenants.models import Member, Tenant

MOST = 100


@dataclass(frozen=True, slots=True)
class InboxLine:
    dialogue: Dialogue
    reason: str
    waits_since: datetime
    waits_s: int
    mine: bool
    taken_by: str  # a name; "" while it waits

    @property
    def name(self) -> str:
        return short_name(self.dialogue)


def short_name(dialogue: Dialogue) -> str:
    """Returns what members call a dialogue: its person is known to them by no name."""
    return dialogue.public_id[:12]


def lines(tenant: Tenant, member: Member | None) -> list[InboxLine]:
    """Returns those that wait, then those that members have; one's own first among these.

    Where there are too many, those of others are left out first, then those that wait last.
    """
    actor = member.actor if member else ""
    needed = Case(When(taken_by=actor, then=0), When(taken_by="", then=1), default=2)
    rows = DialogueHandOver.objects.open().filter(tenant=tenant).select_related("dialogue")
    rows = rows.order_by(needed, "waits_since", "id")[:MOST]
    actors = Actors.among([row.taken_by for row in rows], tenant)
    made = [_line(row, actors, actor) for row in rows]
    return sorted(made, key=lambda line: (bool(line.taken_by), not line.mine))


def waiting(tenant: Tenant) -> int:
    """Returns how many wait for a member."""
    rows = Dialogue.objects.filter(tenant=tenant, status=DialogueStatus.WAITING)
    return rows[: MOST + 1].count()


def _line(row: DialogueHandOver, actors: Actors, actor: str) -> InboxLine:
    waits_s = max(0, int((timezone.now() - row.waits_since).total_seconds()))
    mine = bool(actor) and row.taken_by == actor
    taken_by = actors.name(row.taken_by) if row.taken_by else ""
    reason = reason_text(row.reason)
    return InboxLine(row.dialogue, reason, row.waits_since, waits_s, mine, taken_by)
