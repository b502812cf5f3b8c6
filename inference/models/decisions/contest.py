"""Contests: a person does not accept a decision about them, and a human looks at it again.

GDPR art. 22 (3) gives the right, art. 12 (3) a month for the answer. PIPL art. 24 gives the right
and no number of days, for which GB/T 35273 has 30. The clock of every contest is 30 days.
"""

import uuid
from datetime import datetime, timedelta
from typing import Any, ClassVar

import msgspec
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.actions import Action
from audit.keys.keyring import Unreadable, keyring
from audit.trail.record import act
from inference.models.decisions.decision import Decision
from inference.models.decisions.review import Review, ReviewCause
from tenants.models import Tenant
from tenants.models.model_changes import lock

PREFIX = "con_"
DUE = timedelta(days=30)
ALERT = timedelta(days=7)  # before it is due
LONGEST_STATEMENT = 4_000


class ContestRefused(Exception):
    """The decision cannot be contested now."""


class AlreadyContested(ContestRefused):
    """A contest of this decision is open."""


class ContestState(models.TextChoices):
    OPEN = "open", gettext_lazy("Open")
    CHANGED = "changed", gettext_lazy("Decision changed")
    UPHELD = "upheld", gettext_lazy("Decision upheld")


class ContestTexts(msgspec.Struct, frozen=True):
    """The person's text and the answer to it, encrypted under the key of the decision."""

    statement: str = ""
    answer: str = ""


class ContestQuerySet(models.QuerySet["Contest"]):
    def open(self) -> "ContestQuerySet":
        return self.filter(state=ContestState.OPEN)

    def overdue(self) -> "ContestQuerySet":
        return self.open().filter(due_at__lt=timezone.now())

    def nearly_late(self, now: datetime) -> "ContestQuerySet":
        """Returns those that are due in a week and have had no alert."""
        return self.open().filter(due_at__lte=now + ALERT, alerted_at=None)


class Contest(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="contests", db_index=False)
    decision = models.ForeignKey(Decision, models.CASCADE, related_name="contests")
    review = models.ForeignKey(Review, models.CASCADE, related_name="contests")
    state = models.CharField(max_length=8, choices=ContestState, default=ContestState.OPEN)
    created_by = models.CharField(max_length=60)
    created_at = models.DateTimeField(default=timezone.now)
    due_at = models.DateTimeField()
    alerted_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    data_key_id = models.UUIDField(null=True)
    ciphertext = models.BinaryField(null=True)  # of ContestTexts

    objects: ClassVar[ContestQuerySet] = ContestQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["decision"], condition=Q(state="open"), name="inference_contest_open"
            )
        ]
        indexes = [
            models.Index(
                fields=["tenant", "due_at"], condition=Q(state="open"), name="inference_contest_due"
            )
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return f"{PREFIX}{self.id.hex}"

    @property
    def is_overdue(self) -> bool:
        return self.state == ContestState.OPEN and self.due_at < timezone.now()

    @property
    def days_left(self) -> int:
        return (self.due_at - timezone.now()).days

    @classmethod
    def begin(
        cls, decision: Decision, statement: str, *, by: str, pk: uuid.UUID | None = None
    ) -> "Contest":
        """Contest a decision: a person who has not decided it before reviews it.

        With a `pk` it can be done again after a commit that was cut off: it returns the contest
        that has it.

        Raises AlreadyContested, ValidationError, Unreadable.
        """
        statement = _checked(statement)
        with transaction.atomic():
            lock(decision)
            if pk and (contest := cls.objects.filter(pk=pk).first()):
                return contest
            if decision.person_id is None:  # a process may know their key for a second more
                raise Unreadable("its person has been erased")
            if decision.contests.filter(state=ContestState.OPEN).exists():
                raise AlreadyContested
            now = timezone.now()
            contest = cls(
                pk=pk or uuid.uuid4(),
                tenant_id=decision.tenant_id,
                decision=decision,
                review=_review_of(decision),
                created_by=by,
                created_at=now,
                due_at=now + DUE,
            )
            contest._encrypt(ContestTexts(statement))
            contest.save(force_insert=True)
            contest.record(Action.CONTEST_OPEN, by, due_at=contest.due_at.isoformat())
        return contest

    def close(self, *, changed: bool, answer: str, by: str) -> None:
        """End it with the outcome of its review. Runs in the transaction of that."""
        self._encrypt(ContestTexts(self.texts.statement, answer))
        self.state = ContestState.CHANGED if changed else ContestState.UPHELD
        self.closed_at = timezone.now()
        self.save()
        self.record(Action.CONTEST_CLOSE, by, state=str(self.state))

    def mark_late(self) -> None:
        self.alerted_at = timezone.now()
        self.save(update_fields=["alerted_at"])
        self.record(Action.CONTEST_LATE, "system", due_at=self.due_at.isoformat())

    @property
    def texts(self) -> ContestTexts:
        """Raises Unreadable, MasterKeyUnavailable."""
        if self.data_key_id is None or self.ciphertext is None:
            return ContestTexts()
        clear = keyring.by_id_now(self.data_key_id).decrypt(bytes(self.ciphertext), self._aad)
        return msgspec.json.decode(clear, type=ContestTexts)

    def _encrypt(self, texts: ContestTexts) -> None:
        cipher = keyring.by_id_now(self.decision.data_key_id)
        self.data_key_id = cipher.key_id
        self.ciphertext = cipher.encrypt(msgspec.json.encode(texts), self._aad)

    def record(self, action: Action, by: str, **detail: Any) -> None:
        detail = {"contest": self.public_id, "decision": self.decision.public_id, **detail}
        act(
            action,
            actor=by,
            tenant_id=self.tenant_id,
            subject_id=self.decision.person_id,
            detail=detail,
        )

    @property
    def _aad(self) -> bytes:
        return b"inference_contest|%b|%b|texts" % (self.tenant_id.bytes, self.id.bytes)


def _review_of(decision: Decision) -> Review:
    """Returns the review that waits, as one of a contest from now on, or a new one."""
    review = decision.reviews.waiting().select_for_update().first()
    if review is None:
        new: Review = decision.reviews.create(
            tenant_id=decision.tenant_id, cause=ReviewCause.CONTEST
        )
        return new
    review.cause = ReviewCause.CONTEST
    review.save(update_fields=["cause"])
    return review


def _checked(statement: str) -> str:
    statement = statement.strip()
    if len(statement) > LONGEST_STATEMENT or "\0" in statement:
        text = _("A statement has at most %d characters, and no NUL.") % LONGEST_STATEMENT
        raise ValidationError({"statement": text})
    return statement
