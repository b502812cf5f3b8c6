"""A dialogue's time with people: from its hand-over, over those who had it, to its end."""

import uuid
from datetime import datetime, timedelta
from typing import ClassVar, Self

from django.db import models
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from inference.models.assistants.dialogue import Dialogue
from tenants.models import Tenant

LEASE = timedelta(seconds=90)  # of the member who has it, renewed while their inbox is open
TRANSFER_LEASE = timedelta(minutes=5)  # for a member who may have to open it first


class HandOverEnd(models.TextChoices):
    GIVEN_BACK = "given_back", _("Given back to the assistant")
    RESOLVED = "resolved", _("Resolved")
    CLOSED = "closed", _("Closed by the person")


class DialogueHandOverQuerySet(models.QuerySet["DialogueHandOver"]):
    def open(self) -> Self:
        return self.filter(ended_at=None)

    def taken(self) -> Self:
        return self.open().exclude(taken_by="")

    def abandoned(self) -> Self:
        """Those whose member has left."""
        return self.taken().filter(leased_until__lte=Now())


class DialogueHandOver(models.Model):
    """One hand-over. A dialogue has one open one at most, and one member has it at most."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="hand_overs", db_index=False)
    dialogue = models.ForeignKey(
        Dialogue, models.CASCADE, related_name="hand_overs", db_index=False
    )
    reason = models.CharField(max_length=60)  # a code; "taken_over" where a member began it
    asked_at = models.DateTimeField(default=timezone.now)
    waits_since = models.DateTimeField(default=timezone.now)  # in the queue, also once more
    taken_by = models.CharField(max_length=60, default="", blank=True)
    taken_at = models.DateTimeField(null=True)  # for the first time
    leased_until = models.DateTimeField(null=True)
    returns = models.PositiveSmallIntegerField(default=0)  # to the queue, from a member who left
    ended_at = models.DateTimeField(null=True)
    ending = models.CharField(max_length=12, choices=HandOverEnd, default="", blank=True)

    objects: ClassVar[DialogueHandOverQuerySet] = DialogueHandOverQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["dialogue"],
                name="inference_handover_one_open",
                condition=models.Q(ended_at=None),
            )
        ]
        indexes = [
            models.Index(
                fields=["tenant", "waits_since"],
                name="handover_waiting",
                condition=models.Q(ended_at=None),
            ),
            models.Index(
                "leased_until",
                name="handover_leased",
                condition=models.Q(ended_at=None) & ~models.Q(taken_by=""),
            ),
            models.Index(fields=["dialogue", "-asked_at"], name="handover_dialogue"),
        ]

    def __str__(self) -> str:
        return f"{self.dialogue_id} {self.reason}"

    @property
    def waited(self) -> timedelta:
        """Returns how long it waits, or waited for the first member."""
        return (self.taken_at or self.ended_at or timezone.now()) - self.asked_at

    # Verbs: in a transaction, with the dialogue locked -------------------------------------------
    def take(self, actor: str, lease: timedelta = LEASE) -> None:
        self.taken_by, self.taken_at = actor, self.taken_at or timezone.now()
        self.leased_until = Now() + lease  # hosts' clocks differ
        self.save(update_fields=["taken_by", "taken_at", "leased_until"])

    def put_back(self) -> None:
        """Let it wait for another member."""
        self.taken_by, self.leased_until, self.waits_since = "", None, timezone.now()
        self.returns += 1
        self.save(update_fields=["taken_by", "leased_until", "waits_since", "returns"])

    def end(self, ending: HandOverEnd, at: datetime | None = None) -> None:
        self.ended_at, self.ending, self.leased_until = at or timezone.now(), ending, None
        self.save(update_fields=["ended_at", "ending", "leased_until"])
