"""Actions of a tenant: webhooks that an assistant may call. `inference/actions/` calls them.

The secret that signs requests is encrypted under the tenant's key. While one is replaced, requests
bear signatures of both.
"""

import uuid
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.actions import Action
from audit.keys.keyring import keyring
from audit.trail.record import act
from inference.models.prompt_template import LONGEST_NAME, is_name
from inference.models.versions.reviewed import LONGEST_ACTOR, people_behind
from tenants.models import Tenant
from tenants.models.model_changes import changed, lock

MOST = 100  # actions of a tenant
LONGEST_URL, LONGEST_TEXT = 500, 500
LONGEST_TIMEOUT_S = 30
LONGEST_OVERLAP = timedelta(days=30)
LANGUAGES = ("en", "zh")
_CHANGEABLE = (
    *("description", "url", "arguments", "answer", "moves_money", "timeout_s"),
    *("on_success", "on_failure", "enabled"),
)


class WebhookAction(models.Model):
    """A webhook with the JSON Schemas of its arguments and of its answer.

    `description`, `on_success` and `on_failure` are texts by language. In the last two, `{{name}}`
    stands for a field of the answer, else of the arguments.

    `proposal` has the fields of a change that waits for a person who is none of its authors.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(
        Tenant, models.CASCADE, related_name="webhook_actions", db_index=False
    )
    name = models.CharField(max_length=LONGEST_NAME, validators=[is_name])
    description = models.JSONField(default=dict, blank=True)
    url = models.CharField(max_length=LONGEST_URL)
    arguments = models.JSONField()
    answer = models.JSONField()
    moves_money = models.BooleanField(default=False)  # then the person confirms each call
    timeout_s = models.PositiveSmallIntegerField(default=10)
    on_success = models.JSONField(default=dict, blank=True)
    on_failure = models.JSONField(default=dict, blank=True)
    enabled = models.BooleanField(default=True)
    revision = models.PositiveIntegerField(default=1)  # counts changes
    data_key_id = models.UUIDField()
    secret = models.BinaryField()
    former_key_id = models.UUIDField(null=True, blank=True)
    former_secret = models.BinaryField(null=True, blank=True)
    former_until = models.DateTimeField(null=True, blank=True)
    created_by = models.CharField(max_length=60)  # who changed it last
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(default=timezone.now)
    proposal = models.JSONField(null=True, blank=True)
    proposal_authors = ArrayField(
        models.CharField(max_length=LONGEST_ACTOR), default=list, db_default=[], blank=True
    )
    proposed_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[models.Manager["WebhookAction"]]

    class Meta:
        constraints = [models.UniqueConstraint("tenant", "name", name="inference_action_name")]

    def __str__(self) -> str:
        return self.name

    def create(self, secret: str, *, by: str) -> "WebhookAction":
        """Store a new action. Raises ValidationError.

        `inference.actions.definitions` checks URL, schemas and texts before.
        """
        self._encrypt(secret)
        self.created_by = by
        with transaction.atomic():
            lock(self.tenant)
            self.full_clean(validate_constraints=False)
            actions = self.tenant.webhook_actions
            if actions.filter(name=self.name).exists():
                raise ValidationError({"name": _("This name is taken.")})
            if actions.count() >= MOST:
                raise ValidationError(_("A tenant has at most %d actions.") % MOST)
            self.save(force_insert=True)
            self._act(Action.ACTION_CREATE, by, url=self.url, moves_money=self.moves_money)
        return self

    def change(self, *, by: str, **fields: Any) -> "WebhookAction":
        """Change it. Calls under way end as they began. Raises ValidationError."""
        with transaction.atomic():
            lock(self)
            if differences := changed(self, fields, _CHANGEABLE):
                self.revision, self.created_by = self.revision + 1, by
                self.changed_at = timezone.now()
                self.save()
                self._act(Action.ACTION_CHANGE, by, changed=differences)
        return self

    # A change that waits for a second person -----------------------------------------------------
    def propose(self, fields: dict[str, Any], *, by: str) -> None:
        """Note a change for another person to approve, beside what was proposed before."""
        with transaction.atomic():
            lock(self)
            self.proposal = {**(self.proposal or {}), **fields}
            authors = [*self.proposal_authors, *people_behind(self.tenant, by)]
            self.proposal_authors = list(dict.fromkeys(authors))
            self.proposed_at = timezone.now()
            self._act(Action.ACTION_PROPOSE, by, proposed=self.proposal)
            self._save_proposal()

    def approve_change(self, proposed_at: datetime | None, *, by: str) -> None:
        """Make the change that was proposed then, by another person than its authors.

        Raises ValidationError, also if something else has been proposed since.
        """
        with transaction.atomic():
            lock(self)
            if self.proposal is None or self.proposed_at != proposed_at:
                raise ValidationError(_("This change is no longer proposed: look at it again."))
            if by in self.proposal_authors:
                text = _("You proposed this change: another person has to approve it.")
                raise ValidationError(text)
            differences = changed(self, self.proposal, _CHANGEABLE)
            self.revision, self.changed_at = self.revision + 1, timezone.now()
            self.save()
            authors = self.proposal_authors
            self._act(Action.ACTION_APPROVE, by, changed=differences, authors=authors)
            self._forget_proposal()

    def withdraw_change(self, *, by: str) -> None:
        """Forget the change that waits. Raises ValidationError if none does."""
        with transaction.atomic():
            lock(self)
            if self.proposal is None:
                raise ValidationError(_("No change waits for a second person."))
            self._act(Action.ACTION_WITHDRAW, by, proposed=self.proposal)
            self._forget_proposal()

    @property
    def proposed_by(self) -> str:
        """Returns who proposed it first; "" if no change waits."""
        return self.proposal_authors[0] if self.proposal_authors else ""

    def _forget_proposal(self) -> None:
        self.proposal, self.proposal_authors, self.proposed_at = None, [], None
        self._save_proposal()

    def _save_proposal(self) -> None:
        self.save(update_fields=["proposal", "proposal_authors", "proposed_at"])

    def rotate(self, secret: str, overlap: timedelta, *, by: str) -> "WebhookAction":
        """Sign with a new secret, and until the overlap ends with the present one too."""
        if not timedelta() <= overlap <= LONGEST_OVERLAP:
            text = _("The former secret stays valid for %d days at most.")
            raise ValidationError(text % LONGEST_OVERLAP.days)
        with transaction.atomic():
            lock(self)
            self.former_key_id, self.former_secret = self.data_key_id, self.secret
            self.former_until = timezone.now() + overlap
            self._encrypt(secret)
            self.save()
            self._act(Action.ACTION_ROTATE, by, former_until=self.former_until.isoformat())
        return self

    def remove(self, *, by: str) -> None:
        """Delete it. Its calls stay on record."""
        with transaction.atomic():
            self._act(Action.ACTION_REMOVE, by)
            self.delete()

    def signing_secrets(self, at: datetime) -> list[str]:
        """Returns the secrets that sign at a time, the present one first.

        Raises Unreadable, MasterKeyUnavailable.
        """
        secrets = [self._decrypted(self.data_key_id, self.secret)]
        if self.former_key_id and self.former_secret and at < (self.former_until or at):
            secrets.append(self._decrypted(self.former_key_id, self.former_secret))
        return secrets

    def _encrypt(self, secret: str) -> None:
        cipher = keyring.of_subject_now(self.tenant_id, None)
        self.data_key_id = cipher.key_id
        self.secret = cipher.encrypt(secret.encode(), self._aad)

    def _decrypted(self, key_id: uuid.UUID, secret: bytes | memoryview) -> str:
        return keyring.by_id_now(key_id).decrypt(bytes(secret), self._aad).decode()

    @property
    def _aad(self) -> bytes:
        return b"inference_webhookaction|%b|%b|secret" % (self.tenant_id.bytes, self.id.bytes)

    def _act(self, action: Action, by: str, **detail: Any) -> None:
        detail = {"action": str(self.id), "name": self.name, "revision": self.revision, **detail}
        act(action, actor=by, tenant_id=self.tenant_id, detail=detail)
