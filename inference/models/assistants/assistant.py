"""Assistants of a tenant: which of their versions answer.

The live version answers. A challenger answers a share of the people in its place: a person always
gets the same one.
"""

import uuid
from hashlib import sha256
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.actions import Action
from audit.trail.record import act
from inference.models.assistants.assistant_version import AssistantVersion, VersionState
from inference.models.assistants.assistant_version import Written as Written
from inference.models.prompt_template import LONGEST_NAME, is_name
from tenants.models import ApiKey, Member, Tenant
from tenants.models.model_changes import lock

MOST, MOST_VERSIONS = 100, 1_000  # assistants of a tenant, versions of an assistant
LARGEST_SHARE = 0.5  # of a challenger: the live version answers at least as many
_NO_CHALLENGER: dict[str, Any] = {
    "challenger": None,
    "challenger_share": 0.0,
    "challenged_at": None,
}


class AssistantQuerySet(models.QuerySet["Assistant"]):
    def serving(
        self, tenant_id: uuid.UUID, name: str, share_key: str | uuid.UUID
    ) -> AssistantVersion | None:
        """Returns the version that answers a person; None if none does.

        `share_key` is the same for all dialogues of a person: who of them meets the challenger.
        """
        assistant = self.filter(tenant_id=tenant_id, name=name).first()
        return assistant.version_for(share_key) if assistant else None


class Assistant(models.Model):
    """An assistant that dialogues name. Versions are named by number; None: there is none such."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="assistants", db_index=False)
    name = models.CharField(max_length=LONGEST_NAME, validators=[is_name])
    latest = models.PositiveIntegerField(default=0)  # number of the latest version
    live = models.PositiveIntegerField(null=True, blank=True)
    challenger = models.PositiveIntegerField(null=True, blank=True)
    challenger_share = models.FloatField(default=0.0)
    challenged_at = models.DateTimeField(null=True, blank=True)  # its two versions compare since
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[AssistantQuerySet] = AssistantQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint("tenant", "name", name="inference_assistant_name"),
            models.CheckConstraint(
                condition=Q(challenger_share__gte=0, challenger_share__lte=LARGEST_SHARE),
                name="inference_assistant_share",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def create(
        cls, tenant: Tenant, name: str, written: Written, *, by: str, caller: ApiKey | Member
    ) -> "Assistant":
        """Create an assistant with a first version. Raises ValidationError.

        `inference.assistant_builds.writing` checks what is written.
        """
        assistant = cls(tenant=tenant, name=name)
        with transaction.atomic():
            lock(tenant)
            assistant.full_clean(validate_constraints=False)
            if tenant.assistants.filter(name=name).exists():
                raise ValidationError({"name": _("This name is taken.")})
            if tenant.assistants.count() >= MOST:
                raise ValidationError(_("A tenant has at most %d assistants.") % MOST)
            assistant.save(force_insert=True)
            assistant.record(Action.ASSISTANT_CREATE, by)
            assistant._add(written, by, caller)
        return assistant

    def write(self, written: Written, *, by: str, caller: ApiKey | Member) -> AssistantVersion:
        """Add a version, a draft that is built soon. Raises ValidationError."""
        with transaction.atomic():
            lock(self)
            if self.latest >= MOST_VERSIONS:
                raise ValidationError(_("An assistant has at most %d versions.") % MOST_VERSIONS)
            return self._add(written, by, caller)

    def _add(self, written: Written, by: str, caller: ApiKey | Member) -> AssistantVersion:
        self._set(latest=self.latest + 1)
        version = AssistantVersion.of(self, written, by=by, caller=caller)
        version.save(force_insert=True)
        self.record(Action.ASSISTANT_WRITE, by, version=version.number)
        return version

    def remove(self, *, by: str) -> None:
        """Delete it with all versions. Raises ValidationError once one of them has answered."""
        with transaction.atomic():
            lock(self)
            if self.versions.exclude(served_at=None).exists():
                raise ValidationError(_("Dialogues name its versions: stop it instead."))
            self.record(Action.ASSISTANT_REMOVE, by, versions=self.latest)
            self.delete()

    # What answers --------------------------------------------------------------------------------
    def version_for(self, share_key: str | uuid.UUID) -> AssistantVersion | None:
        """Returns the version that answers a person; None if none does."""
        number = self.live
        if self.challenger is not None:
            digest = sha256(f"{self.pk}:{share_key}".encode()).digest()
            if int.from_bytes(digest[:4]) < self.challenger_share * 2**32:
                number = self.challenger
        return self.versions.filter(number=number).first() if number else None

    def promote(self, version: AssistantVersion, *, by: str) -> None:
        """Let an approved version answer new dialogues."""
        with transaction.atomic():
            lock(self)
            version.refuse_unapproved()
            before = self.live
            if before == version.number:
                raise ValidationError(_("This version answers already."))
            version.note_promotion()
            self._set_live(version.number)
            self.record(Action.ASSISTANT_PROMOTE, by, version=version.number, before=before)

    def roll_back(self, *, by: str) -> None:
        """Let the version before this one answer again. Raises ValidationError."""
        with transaction.atomic():
            lock(self)
            before, now = self.previous, self.live
            if before is None:
                raise ValidationError(_("No earlier version can answer again."))
            self.versions.filter(number=now or 0).update(promoted_at=None)
            self._set_live(before.number)
            self.record(Action.ASSISTANT_ROLLBACK, by, version=before.number, before=now)

    @property
    def previous(self) -> AssistantVersion | None:
        """Returns the version that was promoted last before the live one."""
        rows = self.versions.filter(state=VersionState.APPROVED).exclude(promoted_at=None)
        return rows.exclude(number=self.live or 0).order_by("-promoted_at").first()

    def challenge(self, version: AssistantVersion | None, share: float, *, by: str) -> None:
        """Let a version answer a share of the people; None ends that. Raises ValidationError."""
        with transaction.atomic():
            lock(self)
            if version is None:
                self._set(**_NO_CHALLENGER)
                return self.record(Action.ASSISTANT_CHALLENGE, by, version=None)
            self._refuse_as_challenger(version, share)
            version.note_use()
            now = timezone.now()
            self._set(challenger=version.number, challenger_share=share, challenged_at=now)
            detail = {"version": version.number, "share": share}
            return self.record(Action.ASSISTANT_CHALLENGE, by, **detail)

    def _refuse_as_challenger(self, version: AssistantVersion, share: float) -> None:
        version.refuse_unapproved()
        if self.live is None:
            raise ValidationError(_("No version answers yet: promote one first."))
        if self.live == version.number:
            raise ValidationError(_("This version answers already."))
        if not 0 < share <= LARGEST_SHARE:
            text = _("The share of a challenger is above 0 and at most %s.")
            raise ValidationError({"share": text % LARGEST_SHARE})

    def stop(self, *, by: str) -> None:
        """Let no version answer new dialogues. Those under way go on."""
        with transaction.atomic():
            lock(self)
            before = self.live
            self._set(live=None, **_NO_CHALLENGER)
            self.record(Action.ASSISTANT_STOP, by, before=before)

    def serves(self, number: int) -> bool:
        return number in (self.live, self.challenger)

    def _set_live(self, number: int) -> None:
        """Let it answer. A challenger that stays is compared with it from now on."""
        if self.challenger in (None, number):
            return self._set(live=number, **_NO_CHALLENGER)
        return self._set(live=number, challenged_at=timezone.now())

    def _set(self, **fields: Any) -> None:
        for name, value in fields.items():
            setattr(self, name, value)
        self.changed_at = timezone.now()
        self.save(update_fields=[*fields, "changed_at"])

    def record(self, action: Action, by: str, **detail: Any) -> None:
        detail = {"assistant": str(self.id), "name": self.name, **detail}
        act(action, actor=by, tenant_id=self.tenant_id, detail=detail)
