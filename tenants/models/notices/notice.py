"""The outbox: one row for each notice and recipient, a person's mailbox or a target.

A row has no text. Its words are made when it is sent, in the recipient's language, from figures and
ids in `facts`. `secret` is encrypted, and empty once the notice has ended.
"""

import uuid
from datetime import datetime
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.actions import Action
from audit.keys.configuration_secrets import decrypt_secret, encrypt_secret
from audit.trail.record import act
from tenants.models.link import Link
from tenants.models.model_changes import lock
from tenants.models.notices.notice_target import NoticeTarget
from tenants.models.tenant import Tenant
from tenants.models.user import User

MOST_TRIES = 20  # tries of a notice on record
_OF_TRIES = ("state", "reason", "secret", "status", "tries", "due_at", "ended_at")


class NoticeState(models.TextChoices):
    WAITING = "waiting", gettext_lazy("Waits")
    SENT = "sent", gettext_lazy("Delivered")
    FAILED = "failed", gettext_lazy("Not delivered")
    SKIPPED = "skipped", gettext_lazy("Not sent")


class NoticeQuerySet(models.QuerySet["Notice"]):
    def due(self, now: datetime) -> "NoticeQuerySet":
        return self.filter(state=NoticeState.WAITING, due_at__lte=now)

    def to_targets_of(self, tenant: Tenant | None) -> "NoticeQuerySet":
        return self.filter(target__isnull=False, tenant=tenant).select_related("target")

    def by_mail(self) -> "NoticeQuerySet":
        return self.filter(target=None).select_related("user", "link", "tenant")

    def ended_before(self, before: datetime) -> "NoticeQuerySet":
        return self.exclude(state=NoticeState.WAITING).filter(created_at__lt=before)


class Notice(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(
        Tenant, models.CASCADE, null=True, related_name="notices", db_index=False
    )
    user = models.ForeignKey(User, models.CASCADE, null=True, related_name="+")
    target = models.ForeignKey(NoticeTarget, models.CASCADE, null=True, related_name="notices")
    # Who is invited has no account yet: the link names the address.
    link = models.ForeignKey(Link, models.CASCADE, null=True, related_name="+")
    event = models.CharField(max_length=40)
    occasion = models.CharField(max_length=100)  # what happened: a recipient hears of it once
    facts = models.JSONField(default=dict)
    language = models.CharField(max_length=8, default="")  # "": that of the recipient
    secret = models.TextField(default="")  # a link's URL, or the address of somebody unknown
    state = models.CharField(max_length=8, choices=NoticeState, default=NoticeState.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    tries = models.JSONField(default=list)  # the latest: at, ms, status, reason
    status = models.SmallIntegerField(null=True)  # of HTTP or SMTP, of the latest try
    reason = models.CharField(max_length=40, default="")
    created_at = models.DateTimeField(default=timezone.now)
    began_at = models.DateTimeField(default=timezone.now)  # of the tries: later for a redelivery
    due_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)

    objects: ClassVar[NoticeQuerySet] = NoticeQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["occasion", "user"],
                name="tenants_notice_once_person",
                condition=Q(user__isnull=False),
            ),
            models.UniqueConstraint(
                fields=["occasion", "target"],
                name="tenants_notice_once_target",
                condition=Q(target__isnull=False),
            ),
        ]
        indexes = [
            models.Index(
                fields=["due_at"], name="tenants_notice_due", condition=Q(state="waiting")
            ),
            models.Index(fields=["tenant", "-created_at"], name="tenants_notice_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.event} notice"

    def keep_secret(self, text: str) -> None:
        self.secret = encrypt_secret(text, self._secret_name)

    def clear_secret(self) -> str:
        """Returns the link's URL or the address, "" if it has none. Raises Unreadable."""
        return decrypt_secret(self.secret, self._secret_name, "") if self.secret else ""

    def note_try(self, at: datetime, *, reason: str = "", status: int | None = None) -> None:
        """Add a try to the record. `reason` is empty for one that succeeded."""
        self.status, self.reason = status, reason
        ms = round((timezone.now() - at).total_seconds() * 1000)
        row = {"at": at.isoformat(), "ms": ms, "status": status, "reason": reason}
        self.tries = [*self.tries, row][-MOST_TRIES:]

    def wait(self, due_at: datetime) -> None:
        """Try again at that time."""
        self.due_at = due_at
        self._store()

    def end(self, state: NoticeState, reason: str = "") -> None:
        """Note how it ended, and forget its secret."""
        self.state, self.reason, self.secret = state, reason, ""
        self.ended_at = timezone.now()
        self._store()

    def _store(self) -> None:
        """Write what a try changes, unless the row was deleted meanwhile."""
        values = {name: getattr(self, name) for name in _OF_TRIES}
        Notice.objects.filter(pk=self.pk).update(**values)

    def redeliver(self, *, by: str) -> None:
        """Send a notice to a target once more, now. Raises ValidationError."""
        with transaction.atomic():
            lock(self)
            if self.target_id is None or self.state == NoticeState.WAITING:
                raise ValidationError(_("This notice waits for its delivery already."))
            now = timezone.now()
            self.state, self.ended_at, self.attempts = NoticeState.WAITING, None, 0
            self.began_at = self.due_at = now
            self.save()
            detail: dict[str, Any] = {"notice": str(self.id), "target": str(self.target_id)}
            act(Action.NOTICE_REDELIVER, actor=by, tenant_id=self.tenant_id, detail=detail)

    @property
    def latest_ms(self) -> int | None:
        return self.tries[-1]["ms"] if self.tries else None

    @property
    def _secret_name(self) -> str:
        return f"notice/{self.id}"


class NoticeMark(models.Model):
    """The position in the audit trail, by its transactions, up to which notices have read it."""

    unguarded = "how far notices have read the trail of all tenants"

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    xid = models.BigIntegerField()
    event_id = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.xid}, {self.event_id}"
