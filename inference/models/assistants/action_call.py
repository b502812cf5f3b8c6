"""Calls of actions: each is sent once at most, and its row says what is known of it.

A row is committed as `sent` before the request leaves, so a process that dies afterwards leaves a
call that is never sent again: its outcome is `unknown`, and a person settles it.
"""

import uuid
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, ClassVar, Self

import orjson
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.actions import Action
from audit.keys.keyring import Unreadable, keyring
from audit.trail.record import act
from inference.models.assistants.webhook_action import WebhookAction
from inference.models.prompt_template import LONGEST_NAME
from tenants.models import Tenant
from tenants.models.model_changes import lock

CONFIRMED_FOR = timedelta(minutes=15)  # a person's yes
MARGIN = timedelta(seconds=10)  # of an outcome after the action's timeout
Values = dict[str, Any]


class CallState(models.TextChoices):
    PROPOSED = "proposed", gettext_lazy("Waits for the person's yes")
    CONFIRMED = "confirmed", gettext_lazy("Confirmed by the person")
    WITHDRAWN = "withdrawn", gettext_lazy("Not wanted")
    SENT = "sent", gettext_lazy("Sent")
    SUCCEEDED = "succeeded", gettext_lazy("Done")
    FAILED = "failed", gettext_lazy("Refused by the service")
    UNKNOWN = "unknown", gettext_lazy("Outcome unknown")
    NOT_SENT = "not_sent", gettext_lazy("Not sent")


class Settlement(models.TextChoices):
    DONE = "done", gettext_lazy("It was done")
    NOT_DONE = "not_done", gettext_lazy("It was not done")


S = CallState
NEXT: dict[CallState, tuple[CallState, ...]] = {
    S.PROPOSED: (S.CONFIRMED, S.WITHDRAWN),
    S.CONFIRMED: (S.SENT, S.WITHDRAWN),
    S.WITHDRAWN: (),
    S.SENT: (S.SUCCEEDED, S.FAILED, S.UNKNOWN, S.NOT_SENT),
    S.SUCCEEDED: (),
    S.FAILED: (),
    S.UNKNOWN: (),  # settled by a person, and never sent again
    S.NOT_SENT: (),
}
OUTCOMES = NEXT[S.SENT]


class ActionCallQuerySet(models.QuerySet["ActionCall"]):
    def of_dialogue(self, dialogue_id: uuid.UUID) -> Self:
        return self.filter(dialogue_id=dialogue_id)

    def open_proposals(self) -> Self:
        return self.filter(state__in=(S.PROPOSED, S.CONFIRMED))

    def overdue(self) -> Self:
        """Sent ones whose outcome nobody has noted in time: their process has died."""
        return self.filter(state=S.SENT, deadline__lte=Now())

    def to_settle(self) -> Self:
        return self.filter(state=S.UNKNOWN, settled_at=None)

    def perhaps_done(self) -> Self:
        """Those that were confirmed and done, or may have been, as far as anybody knows."""
        rows = self.filter(state__in=(S.SENT, S.SUCCEEDED, S.UNKNOWN)).exclude(confirmed_in=None)
        return rows.exclude(settled_as=Settlement.NOT_DONE)

    def newest_first(self) -> Self:
        return self.order_by("-created_at", "-id")


class ActionCall(models.Model):
    """A call of an action. `id` is sent with it, so that receivers can tell duplicates.

    Arguments and answer are encrypted under the key of the dialogue's person.
    """

    is_history = True  # keeps its subject's pseudonym: tenants/personal_data/erasure.py

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="action_calls", db_index=False)
    action = models.ForeignKey(WebhookAction, models.SET_NULL, null=True, related_name="calls")
    action_name = models.CharField(max_length=LONGEST_NAME)
    revision = models.PositiveIntegerField()  # of the action
    moves_money = models.BooleanField()
    dialogue_id = models.UUIDField(null=True)  # None: a member tries the action
    turn_id = models.UUIDField(null=True)  # that called
    asked_in = models.UUIDField(null=True)  # turn in which the person was asked to confirm
    confirmed_in = models.UUIDField(null=True)  # turn in which the person said yes
    confirmed_at = models.DateTimeField(null=True)
    subject_id = models.UUIDField()
    created_by = models.CharField(max_length=60)
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True)
    deadline = models.DateTimeField(null=True)  # of the outcome
    ended_at = models.DateTimeField(null=True)
    state = models.CharField(max_length=10, choices=CallState)
    reason = models.CharField(max_length=60, default="", blank=True)  # why it did not succeed
    status = models.PositiveSmallIntegerField(null=True)  # of HTTP
    data_key_id = models.UUIDField()
    ciphertext = models.BinaryField()  # the arguments
    answer_ciphertext = models.BinaryField(null=True)
    settled_as = models.CharField(max_length=10, choices=Settlement, default="", blank=True)
    settled_by = models.CharField(max_length=60, default="", blank=True)
    settled_at = models.DateTimeField(null=True)

    objects: ClassVar[ActionCallQuerySet] = ActionCallQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "tenant", "dialogue_id", "turn_id", "action_name", name="inference_call_once"
            )
        ]
        indexes = [
            models.Index(fields=["tenant", "-created_at"], name="call_tenant_created"),
            models.Index("deadline", name="call_overdue", condition=models.Q(state="sent")),
        ]

    def __str__(self) -> str:
        return f"{self.action_name} {self.id}"

    # Texts ---------------------------------------------------------------------------------------
    def encrypt(self, arguments: Values) -> None:
        """Raises Barred for an erased person."""
        cipher = keyring.of_subject_now(self.tenant_id, self.subject_id)
        self.data_key_id = cipher.key_id
        self.ciphertext = cipher.encrypt(packed(arguments), self._aad(b"arguments"))

    @property
    def arguments(self) -> Values:
        """Raises Unreadable, MasterKeyUnavailable."""
        return self._decrypted(self.ciphertext, b"arguments")

    @property
    def answer(self) -> Values:
        """Returns the answer, {} without one. Raises Unreadable, MasterKeyUnavailable."""
        return self._decrypted(self.answer_ciphertext, b"answer") if self.answer_ciphertext else {}

    def _keep(self, answer: Values) -> None:
        """Encrypt the answer, unless the person has been erased or restricted meanwhile."""
        with suppress(Unreadable):
            cipher = keyring.by_id_now(self.data_key_id)
            self.answer_ciphertext = cipher.encrypt(packed(answer), self._aad(b"answer"))

    def _decrypted(self, ciphertext: bytes | memoryview, field: bytes) -> Values:
        clear = keyring.by_id_now(self.data_key_id).decrypt(bytes(ciphertext), self._aad(field))
        values: Values = orjson.loads(clear)
        return values

    def _aad(self, field: bytes) -> bytes:
        owner = self.tenant_id.bytes + self.id.bytes
        return b"inference_actioncall|%b|%b" % (owner, field)

    # Verbs ---------------------------------------------------------------------------------------
    def propose(self, arguments: Values) -> Self:
        """Store it as a question to the person, in place of an earlier one of the dialogue."""
        self.state = S.PROPOSED
        self.encrypt(arguments)
        with transaction.atomic():
            self.withdraw_open(self.tenant_id, self.dialogue_id)
            self.save(force_insert=True)
        return self

    @staticmethod
    def withdraw_open(tenant_id: uuid.UUID, dialogue_id: uuid.UUID | None) -> int:
        """End the open questions of a dialogue. Returns how many there were."""
        rows = ActionCall.objects.filter(tenant_id=tenant_id, dialogue_id=dialogue_id)
        return rows.open_proposals().update(state=S.WITHDRAWN, ended_at=timezone.now())

    def confirm(self, turn_id: uuid.UUID, at: datetime | None = None, *, by: str) -> bool:
        """Note the person's yes, in a later turn than the question, `at` a time; now by default.

        A repeated call is harmless.
        """
        with transaction.atomic():
            lock(self)
            if self.state == S.CONFIRMED:
                return self.confirmed_in == turn_id
            if self.state != S.PROPOSED or turn_id == self.asked_in:
                return False
            self.state, self.confirmed_in = S.CONFIRMED, turn_id
            self.confirmed_at = at or timezone.now()
            self.save(update_fields=["state", "confirmed_in", "confirmed_at"])
            self._act(Action.ACTION_CONFIRM, by, turn=str(turn_id))
        return True

    def send(self, turn_id: uuid.UUID | None, timeout_s: int, *, by: str) -> Self:
        """Mark it as sent: the request leaves after this commit. For new and confirmed ones."""
        now = timezone.now()
        self.state, self.turn_id, self.sent_at = S.SENT, turn_id, now
        self.deadline = now + timedelta(seconds=timeout_s) + MARGIN
        with transaction.atomic():
            self.save(force_insert=self._state.adding)
            self._act(Action.ACTION_CALL, by)
        return self

    def refuse(self, reason: str, turn_id: uuid.UUID | None, *, by: str) -> Self:
        """Store a new one that is not sent."""
        self.state, self.reason, self.turn_id = S.NOT_SENT, reason[:60], turn_id
        self.ended_at = timezone.now()
        with transaction.atomic():
            self.save(force_insert=True)
            self._act(Action.ACTION_END, by, state=str(self.state))
        return self

    def end(
        self, state: CallState, *, reason: str = "", status: int | None = None, answer: Values
    ) -> bool:
        """Note its outcome. Returns False if it had one already."""
        assert state in OUTCOMES
        with transaction.atomic():
            lock(self)
            if self.state != S.SENT:
                return False
            self.state, self.reason, self.status = state, reason[:60], status
            self.ended_at = timezone.now()
            if answer:
                self._keep(answer)
            self.save()
            self._act(Action.ACTION_END, self.created_by, state=str(state))
        return True

    def settle(self, settled_as: Settlement, *, by: str) -> None:
        """Note what a person found out of an unknown outcome. Raises ValidationError."""
        with transaction.atomic():
            lock(self)
            if self.state != S.UNKNOWN or self.settled_at:
                raise ValidationError(_("There is nothing to settle: its outcome is known."))
            self.settled_as, self.settled_by = Settlement(settled_as), by
            self.settled_at = timezone.now()
            self.save(update_fields=["settled_as", "settled_by", "settled_at"])
            self._act(Action.ACTION_SETTLE, by, settled_as=str(settled_as))

    def note_read(self, *, by: str) -> None:
        """Put on the trail that somebody reads arguments and answer."""
        self._act(Action.ACTION_READ, by)

    @property
    def yes_is_recent(self) -> bool:
        return bool(self.confirmed_at and self.confirmed_at > timezone.now() - CONFIRMED_FOR)

    @property
    def latency_ms(self) -> int | None:
        if self.sent_at is None or self.ended_at is None:
            return None
        return round((self.ended_at - self.sent_at) / timedelta(milliseconds=1))

    def _act(self, action: Action, by: str, **detail: Any) -> None:
        detail = {
            "call": str(self.id),
            "name": self.action_name,
            "revision": self.revision,
        } | detail
        if self.dialogue_id:
            detail["dialogue"] = str(self.dialogue_id)
        tenant_id, subject_id = self.tenant_id, self.subject_id
        act(action, actor=by, tenant_id=tenant_id, subject_id=subject_id, detail=detail)


def packed(values: Values) -> bytes:
    """Returns the values as JSON, equal ones as equal bytes. Raises ValueError, TypeError."""
    return orjson.dumps(values, option=orjson.OPT_SORT_KEYS)
