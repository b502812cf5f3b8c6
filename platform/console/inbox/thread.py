"""A dialogue as its page shows it: messages, who wrote them, and calls of actions."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from audit.keys.keyring import Unreadable
from console.trail.actors import Actors
from inference.models import ActionCall, Dialogue, DialogueMessage, Role, TurnStep
from inference.models.assistants.dialogue import Source
from tenants.models import Tenant

SHOWN = 200  # messages, the latest ones


@dataclass(frozen=True, slots=True)
class Line:
    number: int
    role: str
    label: str
    author: str  # a member's name
    text: str
    sources: list[Source]
    intent: str
    at: datetime
    under_way: bool
    cut_off: bool  # a human took over while the assistant wrote it
    readable: bool = True


def thread(dialogue: Dialogue, tenant: Tenant) -> list[Line]:
    """Returns the latest messages, the oldest first."""
    newest = dialogue.messages.order_by("-number").select_related("dialogue__person")[:SHOWN]
    messages = list(reversed(newest))
    actors = Actors.among([message.author for message in messages], tenant)
    cut_off = _cut_off(dialogue)
    return [_line(message, actors, cut_off) for message in messages]


def calls(dialogue: Dialogue) -> Iterable[ActionCall]:
    rows = ActionCall.objects.of_dialogue(dialogue.pk).filter(tenant_id=dialogue.tenant_id)
    return rows.newest_first()[:20]


def _cut_off(dialogue: Dialogue) -> set[object]:
    turns = dialogue.turns.filter(step=TurnStep.SUPERSEDED).exclude(answer=None)
    return set(turns.values_list("answer_id", flat=True))


def _line(message: DialogueMessage, actors: Actors, cut_off: set[object]) -> Line:
    text, sources, readable = _("This text has been erased."), list[Source](), False
    try:
        content = message.content
        text, sources, readable = content.text, content.sources, True
    except Unreadable:
        pass
    return Line(
        number=message.number,
        role=message.role,
        label=str(Role(message.role).label),
        author=actors.name(message.author) if message.author else "",
        text=text,
        sources=sources,
        intent=message.intent,
        at=message.created_at,
        under_way=not message.whole,
        cut_off=message.pk in cut_off,
        readable=readable,
    )
