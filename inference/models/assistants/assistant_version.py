"""Versions of an assistant. What is written in one never changes.

A version is built before its review: its examples are embedded, and its classifier is trained.
Spec and classifier are texts of the tenant, not of a person: encrypted under the tenant's own key,
and not erased with a person.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.actions import Action
from audit.keys.keyring import keyring
from inference.assistants import spec as specs
from inference.assistants import understanding
from inference.assistants.example_groups import examples as examples_of
from inference.assistants.spec import AssistantSpec
from inference.assistants.understanding import Classifier
from inference.models.served import LONGEST_NAME
from inference.models.versions.reviewed import ReviewedVersion, people_behind
from tenants.models import ApiKey, Member, Tenant
from tenants.models.model_changes import lock

if TYPE_CHECKING:
    from inference.models.assistants.assistant import Assistant

LONGEST_ACTOR = 80
LEASE = timedelta(minutes=3)  # of a build, renewed at each step
MOST_ATTEMPTS = 5


class VersionState(models.TextChoices):
    DRAFT = "draft", gettext_lazy("Draft")
    IN_REVIEW = "in_review", gettext_lazy("In review")
    APPROVED = "approved", gettext_lazy("Approved")
    RETIRED = "retired", gettext_lazy("Retired")


class BuildState(models.TextChoices):
    QUEUED = "queued", gettext_lazy("Waiting")
    BUILDING = "building", gettext_lazy("In progress")
    BUILT = "built", gettext_lazy("Built")
    FAILED = "failed", gettext_lazy("Failed")


S, B = VersionState, BuildState
UNDER_WAY = (B.QUEUED, B.BUILDING)


@dataclass(frozen=True, slots=True)
class Written:
    """The content of a version: packed, its embedding model, and the number of its examples."""

    spec: bytes
    embedding_model: str
    examples: int


class AssistantVersionQuerySet(models.QuerySet["AssistantVersion"]):
    def due(self) -> Self:
        """Those that have to be built, and that no process builds now."""
        return self.filter(due_at__lte=Now())


class AssistantVersion(ReviewedVersion):
    """`figures` are those of the classifier (inference/assistants/training.py).

    `embedding_version` is the version of the model's engines that embedded the examples.
    """

    unapproved = gettext_lazy("Only an approved version may answer: send it to review.")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    assistant = models.ForeignKey(
        "inference.Assistant", models.CASCADE, related_name="versions", db_index=False
    )
    number = models.PositiveIntegerField()
    data_key_id = models.UUIDField()
    ciphertext = models.BinaryField()
    state = models.CharField(max_length=10, choices=VersionState, default=S.DRAFT)
    api_key = models.ForeignKey(ApiKey, models.SET_NULL, null=True, related_name="+")
    member = models.ForeignKey(Member, models.SET_NULL, null=True, related_name="+")
    build = models.CharField(max_length=10, choices=BuildState, default=B.QUEUED)
    due_at = models.DateTimeField(null=True, default=timezone.now)  # None: never
    attempts = models.PositiveSmallIntegerField(default=0)
    error_code = models.CharField(max_length=60, default="", blank=True)
    embedding_model = models.CharField(max_length=LONGEST_NAME)
    embedding_version = models.CharField(max_length=LONGEST_NAME, default="", blank=True)
    examples = models.PositiveIntegerField()
    embedded = models.PositiveIntegerField(default=0)
    classifier_key_id = models.UUIDField(null=True)
    classifier_ciphertext = models.BinaryField(null=True)
    figures = models.JSONField(null=True, blank=True)
    built_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[AssistantVersionQuerySet] = AssistantVersionQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint("assistant", "number", name="inference_assistant_version")
        ]
        indexes = [
            models.Index(
                "due_at", name="assistantversion_due", condition=models.Q(due_at__isnull=False)
            )
        ]

    def __str__(self) -> str:
        return f"{self.assistant}@{self.number}"

    @classmethod
    def of(
        cls, assistant: Assistant, written: Written, *, by: str, caller: ApiKey | Member
    ) -> AssistantVersion:
        """Returns the assistant's latest version, not saved yet."""
        version = cls(
            tenant=assistant.tenant,
            assistant=assistant,
            number=assistant.latest,
            created_by=by,
            authors=people_behind(assistant.tenant, by),
            embedding_model=written.embedding_model,
            examples=written.examples,
        )
        version._set_caller(caller)
        cipher = keyring.of_subject_now(assistant.tenant_id, None)
        version.data_key_id = cipher.key_id
        version.ciphertext = cipher.encrypt(written.spec, version._aad("spec"))
        return version

    # What it says --------------------------------------------------------------------------------
    @property
    def spec(self) -> AssistantSpec:
        """Raises Unreadable, MasterKeyUnavailable."""
        cipher = keyring.by_id_now(self.data_key_id)
        return specs.unpacked(cipher.decrypt(bytes(self.ciphertext), self._aad("spec")))

    @property
    def classifier(self) -> Classifier | None:
        """Returns None before it was built. Raises Unreadable, MasterKeyUnavailable."""
        if self.classifier_ciphertext is None or self.classifier_key_id is None:
            return None
        text = bytes(self.classifier_ciphertext)
        cipher = keyring.by_id_now(self.classifier_key_id)
        return understanding.unpacked(cipher.decrypt(text, self._aad("classifier")))

    @property
    def shown_figures(self) -> dict[str, Any] | None:
        """Returns the figures, with the sentences of examples. Raises Unreadable."""
        if not self.figures:
            return None
        texts = [example.text for example in examples_of(self.spec)]
        confusions = [
            {**each, "example": texts[each["example"]]}
            if isinstance(each["example"], int)
            else each
            for each in self.figures.get("confusions", ())
        ]
        return {**self.figures, "confusions": confusions}

    def _aad(self, part: str) -> bytes:
        owner = self.tenant_id.bytes + self.assistant_id.bytes
        return b"inference_assistantversion|%b|%d|%b" % (owner, self.number, part.encode())

    # Its build -----------------------------------------------------------------------------------
    @property
    def is_built(self) -> bool:
        return self.classifier_ciphertext is not None

    @property
    def percent(self) -> int:
        """Returns the progress of the embedding; the training takes seconds."""
        return 100 * self.embedded // self.examples if self.examples else 0

    def rebuild(self, *, by: str, caller: ApiKey | Member) -> None:
        """Build it again, for example after its embedding model was replaced.

        Meanwhile the earlier classifier answers. Raises ValidationError while a build is under way.
        """
        with transaction.atomic():
            lock(self)
            if self.build in UNDER_WAY:
                raise ValidationError(_("It is being built: wait for the end."))
            self._set_caller(caller)
            self.build, self.error_code = B.QUEUED, ""
            self.due_at, self.attempts, self.embedded = timezone.now(), 0, 0
            self.save()
            self.record(Action.ASSISTANT_BUILD, by)

    def begin_build(self) -> bool:
        """Take it for this process. Returns False if another was faster, or it failed too often."""
        if self.attempts >= MOST_ATTEMPTS:
            self.fail_build("interrupted")
            return False
        rows = AssistantVersion.objects.due().filter(pk=self.pk, attempts=self.attempts)
        fields = {"build": B.BUILDING, "attempts": self.attempts + 1, "embedded": 0}
        taken = rows.update(due_at=Now() + LEASE, **fields)
        self.refresh_from_db(fields=["due_at", *fields])
        return bool(taken)

    def note_progress(self, embedded: int) -> None:
        """Note how many examples are embedded, and keep it for this process."""
        self._building().update(embedded=embedded, due_at=Now() + LEASE)

    def wait(self, seconds: float) -> None:
        """Try again later; it counts as no attempt."""
        attempts = max(self.attempts - 1, 0)
        due_at = Now() + timedelta(seconds=seconds)
        self._building().update(build=B.QUEUED, due_at=due_at, attempts=attempts)

    def complete_build(
        self, classifier: Classifier, figures: dict[str, Any], embedding_version: str
    ) -> None:
        """Keep the classifier with its figures. It replaces an earlier one."""
        cipher = keyring.of_subject_now(self.tenant_id, None)
        packed = cipher.encrypt(understanding.packed(classifier), self._aad("classifier"))
        self._end_build(
            build=B.BUILT,
            classifier_key_id=cipher.key_id,
            classifier_ciphertext=packed,
            figures=figures,
            embedding_version=embedding_version,
            embedded=self.examples,
            built_at=timezone.now(),
        )

    def fail_build(self, code: str) -> None:
        self._end_build(build=B.FAILED, error_code=code[:60])

    def _building(self) -> AssistantVersionQuerySet:
        return AssistantVersion.objects.filter(
            pk=self.pk, build__in=UNDER_WAY, attempts=self.attempts
        )

    def _end_build(self, **fields: Any) -> None:
        with transaction.atomic():
            ended = self._building().update(due_at=None, **fields)
            self.refresh_from_db()
            if ended:
                self.record(Action.ASSISTANT_BUILD, self.created_by, result=str(self.build))

    def _set_caller(self, caller: ApiKey | Member) -> None:
        self.api_key = caller if isinstance(caller, ApiKey) else None
        self.member = caller if isinstance(caller, Member) else None

    # Review --------------------------------------------------------------------------------------
    def submit(self, *, by: str) -> None:
        """Send a built draft to review. Raises ValidationError."""
        with transaction.atomic():
            self._enter(S.IN_REVIEW, S.DRAFT)
            if self.build != B.BUILT:
                raise ValidationError(_("It is not built: its examples are not learnt yet."))
            self.authors = list(dict.fromkeys([*self.authors, *people_behind(self.tenant, by)]))
            self.save(update_fields=["state", "authors"])
            self.record(Action.ASSISTANT_SUBMIT, by)

    def approve(self, *, by: str) -> None:
        """Approve it, by another person than its authors. Raises ValidationError."""
        with transaction.atomic():
            self._enter(S.APPROVED, S.IN_REVIEW)
            if by in self.authors:
                text = _("You wrote this version: another person has to approve it.")
                raise ValidationError(text)
            self.reviewed_by, self.reviewed_at = by, timezone.now()
            self.save(update_fields=["state", "reviewed_by", "reviewed_at"])
            self.record(Action.ASSISTANT_APPROVE, by)

    def send_back(self, reason: str, *, by: str) -> None:
        """Make it a draft again, and tell its authors why. Raises ValidationError."""
        with transaction.atomic():
            self._enter(S.DRAFT, S.IN_REVIEW)
            self.save(update_fields=["state", *self._note_return(reason, by)])
            self.record(Action.ASSISTANT_SEND_BACK, by)

    def retire(self, *, by: str) -> None:
        """Keep it from ever answering again. Raises ValidationError while it does."""
        with transaction.atomic():
            lock(self.assistant)
            if self.assistant.serves(self.number):
                text = _("It answers people: promote another, or end its part first.")
                raise ValidationError(text)
            self._enter(S.RETIRED, S.DRAFT, S.IN_REVIEW, S.APPROVED)
            self.save(update_fields=["state"])
            self.record(Action.ASSISTANT_RETIRE, by)

    def record(self, action: Action, by: str, **detail: Any) -> None:
        self.assistant.record(action, by, version=self.number, **detail)
