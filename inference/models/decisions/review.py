"""Reviews of decisions by people: who looks at one now, and what they decided.

A decision whose outcome is `review` has one from the commit that records it
(inference/sql/decision_reviews.sql), and a contest opens one. A reviewer claims it for a lease.
Where a second person is needed, the first outcome waits until another person decides the same.
"""

import uuid
from collections.abc import Iterable
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
from audit.keys.keyring import keyring
from audit.trail.record import act
from inference.models.decisions.decision import Decision
from inference.models.versions.reviewed import people_behind
from tenants.models import Tenant
from tenants.models.model_changes import lock

LEASE = timedelta(minutes=30)
LONGEST_REASON = 2_000


class ReviewRefused(Exception):
    """A step that the review does not allow."""


class ClaimedByAnother(ReviewRefused):
    """Somebody else has claimed it, and their lease is not over."""


class NotClaimed(ReviewRefused):
    """It must be claimed first, or the lease is over."""


class AlreadyReviewed(ReviewRefused):
    """It is decided."""


class SamePerson(ReviewRefused):
    """Nobody reviews what they decided themselves, or a contest that they brought in."""


class ReviewCause(models.TextChoices):
    OUTCOME = "outcome", gettext_lazy("The policy asked for it")
    CONTEST = "contest", gettext_lazy("The person contests it")


class ReviewState(models.TextChoices):
    OPEN = "open", gettext_lazy("Waits for a reviewer")
    SECOND = "second", gettext_lazy("Waits for a second person")
    DECIDED = "decided", gettext_lazy("Decided")


class FinalOutcome(models.TextChoices):
    APPROVE = "approve", gettext_lazy("Approve")
    BLOCK = "block", gettext_lazy("Block")


class Opinion(msgspec.Struct, frozen=True):
    """An outcome that the next reviewer did not share."""

    outcome: str
    by: str
    at: datetime
    reason: str


class Reasons(msgspec.Struct, frozen=True):
    """The reviewers' texts, encrypted under the key of the decision."""

    first: str = ""
    second: str = ""
    earlier: tuple[Opinion, ...] = ()  # where reviewers disagreed


class ReviewQuerySet(models.QuerySet["Review"]):
    def waiting(self) -> "ReviewQuerySet":
        return self.exclude(state=ReviewState.DECIDED)

    def free_for(self, actor: str) -> "ReviewQuerySet":
        """Returns reviews that nobody else has claimed, but those that wait for another person."""
        over = Q(claimed_until=None) | Q(claimed_until__lt=timezone.now())
        waiting = self.waiting().exclude(state=ReviewState.SECOND, decided_by=actor)
        entered = waiting.filter(contests__created_by=actor)
        return waiting.exclude(pk__in=entered).filter(over | Q(claimed_by=actor))


class Review(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="reviews", db_index=False)
    decision = models.ForeignKey(Decision, models.CASCADE, related_name="reviews")
    cause = models.CharField(max_length=8, choices=ReviewCause, default=ReviewCause.OUTCOME)
    state = models.CharField(max_length=8, choices=ReviewState, default=ReviewState.OPEN)
    needs_second = models.BooleanField(default=False)  # known from the first claim on
    claimed_by = models.CharField(max_length=60, blank=True, default="")
    claimed_until = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=8, choices=FinalOutcome, blank=True, default="")
    decided_by = models.CharField(max_length=60, blank=True, default="")
    decided_at = models.DateTimeField(null=True)
    confirmed_by = models.CharField(max_length=60, blank=True, default="")
    confirmed_at = models.DateTimeField(null=True)
    data_key_id = models.UUIDField(null=True)
    ciphertext = models.BinaryField(null=True)  # of Reasons
    created_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[ReviewQuerySet] = ReviewQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["decision"], condition=~Q(state="decided"), name="inference_review_open"
            )
        ]
        indexes = [
            models.Index(
                fields=["tenant", "created_at"],
                condition=~Q(state="decided"),
                name="inference_review_waiting",
            ),
            models.Index(fields=["tenant", "-created_at"], name="inference_review_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.decision}: {self.state}"

    @property
    def is_claimed(self) -> bool:
        return self.claimed_until is not None and self.claimed_until > timezone.now()

    def is_claimed_by(self, actor: str) -> bool:
        return self.is_claimed and self.claimed_by == actor

    @property
    def reasons(self) -> Reasons:
        """Raises Unreadable, MasterKeyUnavailable."""
        if self.data_key_id is None or self.ciphertext is None:
            return Reasons()
        cipher = keyring.by_id_now(self.data_key_id)
        return msgspec.json.decode(cipher.decrypt(bytes(self.ciphertext), self._aad), type=Reasons)

    # Acts ----------------------------------------------------------------------------------------
    def claim(self, *, by: str, needs_second: bool) -> None:
        """Take it for a lease, or lengthen one's own. Raises ReviewRefused."""
        with transaction.atomic():
            self._lock()
            self._refuse_decided()
            if self.is_claimed and self.claimed_by != by:
                raise ClaimedByAnother
            self._refuse_own(by)
            self.claimed_by, self.claimed_until = by, timezone.now() + LEASE
            self.needs_second = self.needs_second or needs_second
            self.save(update_fields=["claimed_by", "claimed_until", "needs_second"])
            self._act(Action.REVIEW_CLAIM, by)

    def give_back(self, *, by: str) -> None:
        """End one's lease, so that others can claim it. Raises ReviewRefused."""
        with transaction.atomic():
            self._lock()
            self._refuse_unclaimed(by)
            self._unclaim()
            self.save(update_fields=["claimed_by", "claimed_until"])
            self._act(Action.REVIEW_GIVE_BACK, by)

    def decide(self, outcome: str, reason: str, *, by: str) -> None:
        """Decide what the claim is for. Raises ReviewRefused, ValidationError, Unreadable.

        Of two people who need to agree, the second one's other outcome waits for a third opinion,
        which is shared with one of them.
        """
        outcome, reason = FinalOutcome(outcome), checked_reason(reason)
        with transaction.atomic():
            self._lock()
            self._refuse_decided()
            self._refuse_unclaimed(by)
            self._refuse_own(by)
            agrees = self.state == ReviewState.SECOND and self._is_shared(outcome)
            self._note(outcome, reason, by, confirms=agrees)
            self._unclaim()
            over = agrees or not self.needs_second
            self.state = ReviewState.DECIDED if over else ReviewState.SECOND
            self.save()
            action = Action.REVIEW_CONFIRM if agrees else Action.REVIEW_DECIDE
            self._act(action, by, outcome=str(outcome), final=over)
            if over:
                self._end(outcome, reason, by)

    def _note(self, outcome: str, reason: str, by: str, *, confirms: bool) -> None:
        """Set the outcome, its author and their words."""
        now, before = timezone.now(), self.reasons
        if confirms:
            before = self._sided(outcome, before)
            self.confirmed_by, self.confirmed_at = by, now
            reasons = Reasons(before.first, reason, before.earlier)
        else:
            reasons = Reasons(reason, earlier=(*before.earlier, *self._opinion(before.first)))
            self.outcome, self.decided_by, self.decided_at = outcome, by, now
        cipher = keyring.by_id_now(self.decision.data_key_id)
        self.data_key_id = cipher.key_id
        self.ciphertext = cipher.encrypt(msgspec.json.encode(reasons), self._aad)

    def _is_shared(self, outcome: str) -> bool:
        return outcome in (self.outcome, *(each.outcome for each in self.reasons.earlier))

    def _sided(self, outcome: str, reasons: Reasons) -> Reasons:
        """Let the opinion with this outcome be what is confirmed. Returns the reasons for it."""
        shared = [each for each in reasons.earlier if each.outcome == outcome]
        if outcome == self.outcome or not shared:
            return reasons
        others = [each for each in reasons.earlier if each is not shared[0]]
        earlier = (*others, *self._opinion(reasons.first))
        self.outcome, self.decided_by, self.decided_at = outcome, shared[0].by, shared[0].at
        return Reasons(shared[0].reason, earlier=earlier)

    def _opinion(self, reason: str) -> tuple[Opinion, ...]:
        """Returns what was decided so far, where somebody has."""
        if self.state != ReviewState.SECOND or self.decided_at is None:
            return ()
        return (Opinion(self.outcome, self.decided_by, self.decided_at, reason),)

    def _end(self, outcome: str, reason: str, by: str) -> None:
        """Give the decision its final outcome, and end the contest that asked for the review."""
        before = self.decision.final or self.decision.outcome
        self.decision.final, self.decision.decided_at = outcome, timezone.now()
        self.decision.save(update_fields=["final", "decided_at"])
        for contest in self.contests.all():
            contest.close(changed=outcome != before, answer=reason, by=by)

    def _lock(self) -> None:
        """Lock the decision and then the review, as a new contest does: no two can deadlock."""
        lock(self.decision)
        lock(self)

    # Refusals ------------------------------------------------------------------------------------
    def _refuse_decided(self) -> None:
        if self.state == ReviewState.DECIDED:
            raise AlreadyReviewed

    def _refuse_unclaimed(self, by: str) -> None:
        if not self.is_claimed_by(by):
            raise NotClaimed

    def _refuse_own(self, by: str) -> None:
        if by in self.people_before():
            raise SamePerson

    def people_before(self) -> set[str]:
        """Returns those who may not take the next step: it would be about their own one.

        Whoever another did not agree with is among them: they would know the other outcome. Raises
        Unreadable, MasterKeyUnavailable.
        """
        people = self._people_so_far() if self.state == ReviewState.SECOND else set[str]()
        if self.cause == ReviewCause.CONTEST:
            for earlier in self.decision.reviews.exclude(pk=self.pk):
                people |= earlier._people_so_far()
            for actor in self.contests.values_list("created_by", flat=True):
                people.update(people_behind(self.tenant, actor))
        return people - {""}

    def _people_so_far(self) -> set[str]:
        """Raises Unreadable, MasterKeyUnavailable."""
        others = (opinion.by for opinion in self.reasons.earlier)
        return {self.decided_by, self.confirmed_by, *others}

    def _unclaim(self) -> None:
        self.claimed_by, self.claimed_until = "", None

    def _act(self, action: Action, by: str, **detail: Any) -> None:
        detail = {"review": str(self.id), "decision": self.decision.public_id, **detail}
        act(
            action,
            actor=by,
            tenant_id=self.tenant_id,
            subject_id=self.decision.person_id,
            detail=detail,
        )

    @property
    def _aad(self) -> bytes:
        return b"inference_review|%b|%b|reasons" % (self.tenant_id.bytes, self.id.bytes)


def checked_reason(reason: str) -> str:
    """Returns a reason without white space around it. Raises ValidationError."""
    reason = reason.strip()
    if not reason:
        raise ValidationError({"reason": _("Give a reason.")})
    if len(reason) > LONGEST_REASON:
        text = _("A reason has at most %d characters.") % LONGEST_REASON
        raise ValidationError({"reason": text})
    return reason


def actors_of(reviews: Iterable[Review]) -> list[str]:
    """Returns everybody whom a list of reviews names."""
    named = ((row.claimed_by, row.decided_by, row.confirmed_by) for row in reviews)
    return [name for names in named for name in names if name]
