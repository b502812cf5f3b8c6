"""Goes on with turns whose process died, or that waited for a server."""

import asyncio
import logging
from contextlib import suppress
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from inference.dialogues import recording
from inference.dialogues.recording import LostTurn
from inference.dialogues.running import run
from inference.intake.context import Context
from inference.models import DialogueTurn
from inference.models.assistants.dialogue import LEASE

log = logging.getLogger(__name__)
AT_ONCE = 20
MOST_ATTEMPTS = 20  # at one turn: it may be what ends its processes


def resume_due() -> None:
    """Go on with what is due, in this thread. Two of these at once do no harm."""
    _give_up()
    if turns := _take():
        asyncio.run(_resume(turns))


def _give_up() -> None:
    """Fail turns that many processes have begun and none has ended."""
    exhausted = DialogueTurn.objects.due().filter(attempts__gte=MOST_ATTEMPTS)
    for turn in exhausted.select_related("dialogue", "question", "answer")[:AT_ONCE]:
        log.error("turn %s is given up after %d attempts", turn.pk, turn.attempts)
        with suppress(LostTurn):
            recording.fail(turn, "internal_error")


def _take() -> list[tuple[UUID, UUID, UUID]]:
    """Lease due turns. Returns the tenant, the turn and the lease of each."""
    taken = list[tuple[UUID, UUID, UUID]]()
    with transaction.atomic():
        due = DialogueTurn.objects.due().order_by("leased_until")
        for turn in due.select_for_update(skip_locked=True, of=("self",))[:AT_ONCE]:
            lease = uuid4()
            fields = {"lease": lease, "leased_until": Now() + LEASE, "attempts": F("attempts") + 1}
            DialogueTurn.objects.filter(pk=turn.pk).update(**fields)
            taken.append((turn.tenant_id, turn.pk, lease))
    return taken


async def _resume(turns: list[tuple[UUID, UUID, UUID]]) -> None:
    async with Context.opened() as context:
        ends = await asyncio.gather(
            *(run(context, *turn) for turn in turns), return_exceptions=True
        )
    for (_tenant, turn, _lease), end in zip(turns, ends, strict=True):
        if isinstance(end, Exception):
            log.error("turn %s broke off", turn, exc_info=end)
