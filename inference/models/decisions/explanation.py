"""Stored explanations of decisions (inference/decisions/explaining.py): one for each, at most."""

import uuid
from datetime import datetime, timedelta
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from audit.keys.keyring import keyring
from inference.models.decisions.decision import Decision
from tenants.models import Tenant

LEASE = timedelta(minutes=2)  # of the process that makes it
LONGEST_PROBLEM = 40


class ExplanationState(models.TextChoices):
    MAKING = "making", _("being made")
    READY = "ready", _("ready")
    FAILED = "failed", _("failed")


class ExplanationQuerySet(models.QuerySet["DecisionExplanation"]):
    def due(self, now: datetime) -> "ExplanationQuerySet":
        """Returns those that nobody makes now."""
        return self.filter(state=ExplanationState.MAKING, due_at__lte=now)


class DecisionExplanation(models.Model):
    decision = models.OneToOneField(
        Decision, models.CASCADE, primary_key=True, related_name="explanation"
    )
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    state = models.CharField(
        max_length=8, choices=ExplanationState, default=ExplanationState.MAKING
    )
    problem = models.CharField(max_length=LONGEST_PROBLEM, blank=True, default="")
    due_at = models.DateTimeField(default=timezone.now)
    made_at = models.DateTimeField(null=True)
    data_key_id = models.UUIDField(null=True)
    ciphertext = models.BinaryField(null=True)

    objects: ClassVar[ExplanationQuerySet] = ExplanationQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        indexes = [
            models.Index(
                fields=["due_at"], condition=Q(state="making"), name="inference_explanation_due"
            )
        ]

    def __str__(self) -> str:
        return f"{self.decision}: {self.state}"

    @classmethod
    def order(cls, decision: Decision) -> "DecisionExplanation":
        """Returns the decision's explanation, which is made soon if there is none or it failed."""
        row, _new = cls.objects.get_or_create(
            decision=decision, defaults={"tenant_id": decision.tenant_id}
        )
        if row.state == ExplanationState.FAILED:
            again = cls.objects.filter(pk=row.pk, state=ExplanationState.FAILED)
            again.update(state=ExplanationState.MAKING, problem="", due_at=timezone.now())
            row.refresh_from_db()
        return row

    def lease(self) -> bool:
        """Returns whether this process may make it now."""
        due = DecisionExplanation.objects.due(timezone.now()).filter(pk=self.pk)
        return due.update(due_at=timezone.now() + LEASE) > 0

    def note(self, progress: bytes) -> None:
        """Store how far it is, and keep the lease. Raises Unreadable."""
        cipher = keyring.by_id_now(self.decision.data_key_id)
        ciphertext = cipher.encrypt(progress, self._aad(b"progress"))
        rows = DecisionExplanation.objects.filter(pk=self.pk, state=ExplanationState.MAKING)
        due_at = timezone.now() + LEASE
        rows.update(data_key_id=cipher.key_id, ciphertext=ciphertext, due_at=due_at)

    @property
    def progress(self) -> bytes:
        """Returns what `note` stored, b"" at first. Raises Unreadable, MasterKeyUnavailable."""
        self.refresh_from_db(fields=["state", "data_key_id", "ciphertext"])
        return self._clear(b"progress") if self.state == ExplanationState.MAKING else b""

    def succeed(self, packed: bytes) -> None:
        """Store it, encrypted under the decision's key; nothing where its row was erased meanwhile.

        Raises Unreadable.
        """
        cipher = keyring.by_id_now(self.decision.data_key_id)
        self.data_key_id = cipher.key_id
        self.ciphertext = cipher.encrypt(packed, self._aad(b"packed"))
        self.state, self.problem = ExplanationState.READY, ""
        self.made_at = timezone.now()
        names = ("state", "problem", "data_key_id", "ciphertext", "made_at")
        self._row.update(**{name: getattr(self, name) for name in names})

    def fail(self, problem: str) -> None:
        """Note why there is none; nothing where its person was erased meanwhile."""
        self.state, self.problem = ExplanationState.FAILED, problem[:LONGEST_PROBLEM]
        self.data_key_id = self.ciphertext = None
        empty = {"data_key_id": None, "ciphertext": None}
        self._row.update(state=self.state, problem=self.problem, **empty)

    def wait(self, seconds: float) -> None:
        """Try again later."""
        self.due_at = timezone.now() + timedelta(seconds=seconds)
        self._row.update(due_at=self.due_at)

    @property
    def _row(self) -> models.QuerySet["DecisionExplanation"]:
        return DecisionExplanation.objects.filter(pk=self.pk)

    @property
    def packed(self) -> bytes | None:
        """Returns it once it is ready. Raises Unreadable, MasterKeyUnavailable."""
        return self._clear(b"packed") or None if self.state == ExplanationState.READY else None

    def _clear(self, field: bytes) -> bytes:
        if self.data_key_id is None or self.ciphertext is None:
            return b""
        cipher = keyring.by_id_now(self.data_key_id)
        return cipher.decrypt(bytes(self.ciphertext), self._aad(field))

    def _aad(self, field: bytes) -> bytes:
        tenant: uuid.UUID = self.tenant_id
        return b"inference_decisionexplanation|%b|%b|%b" % (tenant.bytes, self.pk.bytes, field)
