"""Decisions about a person: what came in, what the policy made of it, and what came of it.

A row is written once, in the commit that has its audit event (record/decided.py). Later only its
feedback and the score of a shadow run are added.
"""

import uuid
from typing import Any, ClassVar

import msgspec
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.keys.keyring import Cipher, keyring
from audit.trail.record import act
from audit.verification.texts_elsewhere import TextPlace
from tenants.models import ApiKey, Person, Tenant

PREFIX = "dec_"
LONGEST_CODE = 40
ONCE = "inference_decision_once"


class DecisionOutcome(models.TextChoices):
    APPROVE = "approve", _("Approve")
    REVIEW = "review", _("Review")
    BLOCK = "block", _("Block")


class DecisionSource(models.TextChoices):
    MODEL = "model", _("Model")
    STACK = "stack", _("Model and tree")
    TREE = "tree", _("Tree")
    RULES = "rules", _("Rules")


class FallbackReason(models.TextChoices):
    """Why a policy's fallback decided."""

    LATE = "engine_late", _("The model was late")
    REFUSED = "engine_refused", _("The engine refused")
    FAILED = "engine_failed", _("The engine failed")
    NO_SCORE = "no_score", _("The answer has no score")
    QUEUE_FULL = "queue_full", _("Too many requests waited")
    PAUSED = "engine_paused", _("The engines are paused")
    AWAY = "out_of_service", _("The platform took no request")
    LIMIT = "limit_reached", _("A limit or a quota had no room")
    CHANGED = "model_changed", _("Another version of the model serves")
    NOT_SERVED = "model_not_served", _("The model is not served")


class DecisionFeedback(models.TextChoices):
    """The true event; positive is the one that the policy looks for, such as a fraud."""

    POSITIVE = "positive", _("It was what the policy looks for")
    NEGATIVE = "negative", _("It was not")


class DecisionQuerySet(models.QuerySet["Decision"]):
    def of_key(self, api_key_id: uuid.UUID) -> "DecisionQuerySet":
        """Returns decisions for this key, or for one that it was rotated from or to."""
        return self.filter(api_key__in=ApiKey.objects.readable_with(api_key_id))

    def under(self, owner: uuid.UUID, key: bytes) -> "DecisionQuerySet":
        """Returns the decision for an idempotency key, if there is one."""
        return self.filter(key_owner=owner, key=key)


class Decision(models.Model):
    """A decision. `score` is calibrated; None where the fallback had none.

    `key` and `key_body` are keyed hashes, as in IdempotencyKey: of a key there is one decision for
    ever. The input is encrypted under the person's key.
    """

    is_history = True  # keeps its person's pseudonym: tenants/personal_data/erasure.py

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="decisions", db_index=False)
    api_key = models.ForeignKey(ApiKey, models.SET_NULL, null=True, related_name="+")
    person = models.ForeignKey(Person, models.SET_NULL, null=True, related_name="decisions")
    version = models.ForeignKey(
        "inference.DecisionPolicyVersion", models.RESTRICT, related_name="decisions"
    )
    policy_name = models.CharField(max_length=80)
    version_number = models.PositiveIntegerField()
    is_challenger = models.BooleanField(default=False)
    outcome = models.CharField(max_length=8, choices=DecisionOutcome)
    score = models.FloatField(null=True)
    raw_score = models.FloatField(null=True)  # of the model alone, before stack and calibration
    review_at = models.FloatField()  # the thresholds at that time
    block_at = models.FloatField()
    source = models.CharField(max_length=8, choices=DecisionSource)
    # Why the policy's fallback decided; "": it did not.
    fallback_reason = models.CharField(max_length=LONGEST_CODE, choices=FallbackReason, default="")
    deadline_ms = models.PositiveIntegerField()
    latency_ms = models.PositiveIntegerField()  # until the decision was written
    completion_id = models.UUIDField(null=True)  # a bare id: retention ends earlier there
    data_key_id = models.UUIDField()
    ciphertext = models.BinaryField()  # of its Content
    key_owner = models.UUIDField(null=True)
    key = models.BinaryField(null=True)
    key_body = models.BinaryField(null=True)
    feedback = models.CharField(max_length=8, choices=DecisionFeedback, default="")
    feedback_at = models.DateTimeField(null=True)
    final = models.CharField(max_length=8, choices=DecisionOutcome, db_default="", default="")
    decided_at = models.DateTimeField(null=True)  # by a human, who said `final`
    shadow_version = models.ForeignKey(
        "inference.DecisionPolicyVersion", models.RESTRICT, null=True, related_name="+"
    )
    shadow_score = models.FloatField(null=True)
    shadow_raw_score = models.FloatField(null=True)
    shadow_outcome = models.CharField(max_length=8, choices=DecisionOutcome, default="")
    shadow_completion_id = models.UUIDField(null=True)
    created_at = models.DateTimeField()

    objects: ClassVar[DecisionQuerySet] = DecisionQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "key_owner", "key"],
                name=ONCE,
                condition=models.Q(key__isnull=False),
            )
        ]
        indexes = [
            models.Index(fields=["tenant", "-created_at", "-id"], name="decision_tenant_created"),
            models.Index(fields=["version", "-created_at"], name="decision_version_created"),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return f"{PREFIX}{self.id.hex}"

    @property
    def subject_id(self) -> uuid.UUID | None:
        return self.person_id

    @property
    def thresholds(self) -> dict[str, float]:
        return {"review": self.review_at, "block": self.block_at}

    @property
    def content(self) -> "Content":
        """Returns its texts. Raises Unreadable, MasterKeyUnavailable."""
        cipher = keyring.by_id_now(self.data_key_id)
        return opened(bytes(self.ciphertext), cipher, aad(self.tenant_id, self.id))

    def give_feedback(self, feedback: str, *, by: str, client_net: str | None = None) -> None:
        """Note what really happened. A repeated call with the same word changes nothing."""
        feedback = DecisionFeedback(feedback)
        with transaction.atomic():
            rows = Decision.objects.filter(pk=self.pk).exclude(feedback=feedback)
            if rows.update(feedback=feedback, feedback_at=timezone.now()):
                act(
                    Action.DECISION_FEEDBACK,
                    actor=by,
                    tenant_id=self.tenant_id,
                    subject_id=self.subject_id,
                    client_net=client_net,
                    detail={"decision": self.public_id, "feedback": str(feedback)},
                )
        self.refresh_from_db(fields=["feedback", "feedback_at"])

    @classmethod
    def note_shadow(cls, decision_id: uuid.UUID, version_id: uuid.UUID, **scores: Any) -> None:
        """Note what the shadow version would have said: score, raw_score, outcome."""
        fields = {f"shadow_{name}": value for name, value in scores.items()}
        rows = cls.objects.filter(pk=decision_id, shadow_version=None)
        rows.update(shadow_version_id=version_id, **fields)


TEXT_PLACE = TextPlace(Action.DECISION_MAKE, Decision._meta.db_table, "ciphertext")


class Reason(msgspec.Struct, frozen=True):
    """A step that led to the outcome: a code for programs, and a sentence for people."""

    code: str
    message: str


class Content(msgspec.Struct, frozen=True):
    """The texts of a decision, encrypted under its person's key."""

    input: dict[str, Any]
    reasons: list[Reason] = []

    def encrypted(self, cipher: Cipher, place: bytes) -> bytes:
        """Returns the ciphertext; `place` is its `aad`."""
        return cipher.encrypt(msgspec.json.encode(self), place)


def opened(ciphertext: bytes, cipher: Cipher, place: bytes) -> Content:
    """Returns the content. Raises Unreadable."""
    return msgspec.json.decode(cipher.decrypt(ciphertext, place), type=Content)


def aad(tenant_id: uuid.UUID, decision_id: uuid.UUID) -> bytes:
    return b"inference_decision|%b|%b|content" % (tenant_id.bytes, decision_id.bytes)
