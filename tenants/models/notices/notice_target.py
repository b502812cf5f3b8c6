"""A webhook or a chat service that gets notices of a tenant, or of the platform.

URL and secrets are encrypted: the URL of a chat service's robot is a credential itself.
"""

import uuid
from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlsplit

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.actions import Action
from audit.keys.configuration_secrets import decrypt_secret, encrypt_secret
from audit.trail.record import act
from infrastructure.webhooks import addresses, signing
from tenants.models.model_changes import changed, lock
from tenants.models.tenant import Tenant

MOST = 50  # targets of a tenant
LONGEST_NAME, LONGEST_SECRET = 60, 200
LONGEST_OVERLAP = timedelta(days=30)
_CHANGEABLE = ("name", "groups", "language", "enabled")


class TargetKind(models.TextChoices):
    WEBHOOK = "webhook", gettext_lazy("Webhook")
    FEISHU = "feishu", gettext_lazy("Feishu")
    DINGTALK = "dingtalk", gettext_lazy("DingTalk")
    WECOM = "wecom", gettext_lazy("WeCom")
    SLACK = "slack", "Slack"


WITH_SECRET = (TargetKind.FEISHU, TargetKind.DINGTALK)  # their robots may check a signature


class NoticeTargetQuerySet(models.QuerySet["NoticeTarget"]):
    def of(self, tenant: Tenant | None) -> "NoticeTargetQuerySet":
        """Returns the targets of a tenant, or those of the platform's operators."""
        return self.filter(tenant=tenant).order_by("name")

    def for_group(self, tenant_id: uuid.UUID | None, group: str) -> "NoticeTargetQuerySet":
        owner = models.Q(tenant_id=tenant_id) if tenant_id else models.Q(tenant=None)
        return self.filter(owner, enabled=True, groups__contains=[group])


class NoticeTarget(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(
        Tenant, models.CASCADE, null=True, blank=True, related_name="notice_targets"
    )  # null: of the platform's operators
    name = models.CharField(gettext_lazy("name"), max_length=LONGEST_NAME)
    kind = models.CharField(max_length=12, choices=TargetKind)
    host = models.CharField(max_length=300)  # of the URL, for people
    url = models.TextField()  # encrypted, as both secrets are
    secret = models.TextField(default="", blank=True)
    former_secret = models.TextField(default="", blank=True)
    former_until = models.DateTimeField(null=True, blank=True)
    groups = ArrayField(models.CharField(max_length=20))
    language = models.CharField(max_length=8, default="en")
    enabled = models.BooleanField(default=True)
    created_by = models.CharField(max_length=80)  # who changed it last
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[NoticeTargetQuerySet] = NoticeTargetQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "name"],
                name="tenants_notice_target_name",
                nulls_distinct=False,
            )
        ]

    def __str__(self) -> str:
        return self.name

    def create(self, url: str, secret: str = "", *, by: str) -> str:
        """Store a new target. Returns a webhook's secret, "" of other kinds.

        `secret` is what a chat service signs with. Raises ValidationError.
        """
        addresses.check(url)
        if self.kind == TargetKind.WEBHOOK:
            secret = signing.new_secret()
        self._refuse_secret(secret)
        self.host, self.created_by = urlsplit(url).hostname or "", by
        self.url = encrypt_secret(url, self._name_of("url"))
        self.secret = encrypt_secret(secret, self._name_of("secret")) if secret else ""
        with transaction.atomic():
            if self.tenant:
                lock(self.tenant)
            self.full_clean(validate_constraints=False)
            others = NoticeTarget.objects.of(self.tenant)
            if others.filter(name=self.name).exists():
                raise ValidationError({"name": _("This name is taken.")})
            if others.count() >= MOST:
                raise ValidationError(_("There can be at most %d targets.") % MOST)
            self.save(force_insert=True)
            self._act(Action.NOTICE_TARGET_CREATE, by, host=self.host, groups=self.groups)
        return secret if self.kind == TargetKind.WEBHOOK else ""

    def change(self, *, by: str, **fields: Any) -> "NoticeTarget":
        """Change name, groups, language or whether it is enabled. Raises ValidationError."""
        with transaction.atomic():
            lock(self)
            if differences := changed(self, fields, _CHANGEABLE):
                self.created_by, self.changed_at = by, timezone.now()
                self.save()
                self._act(Action.NOTICE_TARGET_CHANGE, by, changed=differences)
        return self

    def rotate(self, overlap: timedelta, *, by: str) -> str:
        """Replace a webhook's secret. Returns the new one; both sign until the overlap ends."""
        if self.kind != TargetKind.WEBHOOK:
            raise ValidationError(_("Only a webhook has a secret of ours."))
        if not timedelta() <= overlap <= LONGEST_OVERLAP:
            text = _("The former secret stays valid for %d days at most.")
            raise ValidationError(text % LONGEST_OVERLAP.days)
        secret = signing.new_secret()
        with transaction.atomic():
            lock(self)
            self.former_secret, self.former_until = self.secret, timezone.now() + overlap
            self.secret = encrypt_secret(secret, self._name_of("secret"))
            self.created_by, self.changed_at = by, timezone.now()
            self.save()
            former_until = self.former_until.isoformat()
            self._act(Action.NOTICE_TARGET_ROTATE, by, former_until=former_until)
        return secret

    def remove(self, *, by: str) -> None:
        """Delete it with its deliveries."""
        with transaction.atomic():
            self._act(Action.NOTICE_TARGET_REMOVE, by)
            self.delete()

    def clear_url(self) -> str:
        """Returns the URL. Raises Unreadable."""
        return decrypt_secret(self.url, self._name_of("url"), "")

    def signing_secrets(self, at: datetime) -> list[str]:
        """Returns the secrets that sign at a time, the present one first. Raises Unreadable."""
        texts = [self.secret] if self.secret else []
        if self.former_secret and self.former_until and at < self.former_until:
            texts.append(self.former_secret)
        return [decrypt_secret(text, self._name_of("secret"), "") for text in texts]

    def _refuse_secret(self, secret: str) -> None:
        if secret and self.kind not in (TargetKind.WEBHOOK, *WITH_SECRET):
            raise ValidationError({"secret": _("This service checks no signature.")})
        if len(secret) > LONGEST_SECRET or not (secret.isascii() and secret.isprintable()):
            raise ValidationError({"secret": _("This is not a secret of that service.")})

    def _name_of(self, field: str) -> str:
        return f"notice_target/{self.id}/{field}"

    def _act(self, action: Action, by: str, **detail: Any) -> None:
        detail = {"target": str(self.id), "name": self.name, "kind": str(self.kind), **detail}
        act(action, actor=by, tenant_id=self.tenant_id, detail=detail)
