"""Data sets of a tenant: what models are trained on, in versions that nobody changes."""

import uuid
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.trail.record import act, checked_reason
from inference.models.prompt_template import LONGEST_NAME, is_name
from tenants.models import Tenant
from tenants.models.model_changes import lock

MOST, MOST_VERSIONS = 1_000, 1_000  # data sets of a tenant, versions of a data set


class DataSetState(models.TextChoices):
    """The states of a version, in the order of its life."""

    UPLOADING = "uploading", _("Being uploaded")
    IMPORTING = "importing", _("Being read")
    READY = "ready", _("Ready")
    FAILED = "failed", _("Failed")
    EMPTIED = "emptied", _("Emptied by an erasure")
    HELD = "held", _("Out of use after an erasure, kept for a legal hold")
    DELETED = "deleted", _("Deleted")  # its row stays: models may have been trained on it


MOVING = (DataSetState.UPLOADING, DataSetState.IMPORTING)


class DataSetSource(models.TextChoices):
    UPLOAD = "upload", _("Upload")
    FILE = "file", _("File of /v1/files")
    CONVERSATIONS = "conversations", _("Recorded conversations")
    JOB = "job", _("Job")


class DataSetFormat(models.TextChoices):
    CHATS = "chats", _("Chats (JSON lines)")
    TEXTS = "texts", _("Texts (JSON lines)")
    MARKDOWN = "markdown", _("Archive of Markdown pages")


class ChunkPart(models.TextChoices):
    UPLOAD = "upload", _("Upload as it came")
    TRAIN = "train", _("Rows to train on")
    HELD_OUT = "held_out", _("Rows held out")
    SAMPLES = "samples", _("Samples of a job's report")  # JSON, no rows


class DataSetQuerySet(models.QuerySet["DataSet"]):
    def present(self) -> "DataSetQuerySet":
        return self.filter(deleted_at=None)


class DataSet(models.Model):
    """A named series of versions. `subject_id` is the pseudonym of its owner, who gets notices."""

    is_history = True  # keeps its owner's pseudonym: tenants/personal_data/erasure.py

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="data_sets")
    name = models.CharField(max_length=LONGEST_NAME, validators=[is_name])
    subject_id = models.UUIDField()
    latest = models.PositiveIntegerField(default=0)  # number of the latest version
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(default=timezone.now)
    deleted_at = models.DateTimeField(null=True)

    objects: ClassVar[DataSetQuerySet] = DataSetQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "name"],
                name="inference_dataset_name",
                condition=models.Q(deleted_at=None),
            )
        ]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def create(cls, tenant: Tenant, name: str, owner: uuid.UUID, *, by: str) -> "DataSet":
        """Create an empty data set. Raises ValidationError."""
        data_set = cls(tenant=tenant, name=name, subject_id=owner)
        data_set.full_clean(exclude=["deleted_at"])
        if cls.objects.present().filter(tenant=tenant).count() >= MOST:
            raise ValidationError(_("A tenant has at most %d data sets.") % MOST)
        with transaction.atomic():
            data_set.save(force_insert=True)
            data_set.record(Action.DATA_SET_CREATE, by)
        return data_set

    def add_version(self, *, by: str, **fields: Any) -> "DataSetVersion":
        """Add a version, which is recorded. Raises ValidationError."""
        with transaction.atomic():
            lock(self)
            if self.deleted_at:
                raise ValidationError(_("The data set %(name)s is gone.") % {"name": self.name})
            if self.latest >= MOST_VERSIONS:
                raise ValidationError(_("A data set has at most %d versions.") % MOST_VERSIONS)
            self.latest, self.changed_at = self.latest + 1, timezone.now()
            self.save(update_fields=["latest", "changed_at"])
            version = DataSetVersion(
                tenant_id=self.tenant_id, data_set=self, number=self.latest, created_by=by, **fields
            )
            version.save(force_insert=True)
            self.record(Action.DATA_SET_ADD, by, version=version.number, source=str(version.source))
        return version

    def record(self, action: Action, by: str, **detail: Any) -> None:
        detail = {"data_set": str(self.id), "name": self.name, **detail}
        act(action, actor=by, tenant_id=self.tenant_id, subject_id=self.subject_id, detail=detail)


class DataSetVersionQuerySet(models.QuerySet["DataSetVersion"]):
    def present(self) -> "DataSetVersionQuerySet":
        return self.exclude(state=DataSetState.DELETED)

    def ready(self) -> "DataSetVersionQuerySet":
        return self.filter(state=DataSetState.READY)

    def moving(self) -> "DataSetVersionQuerySet":
        """Versions that get rows: all others never change, but by an erasure."""
        return self.filter(state__in=MOVING)

    def due(self) -> "DataSetVersionQuerySet":
        """Versions that wait to be read, which no living process reads."""
        free = models.Q(leased_until=None) | models.Q(leased_until__lte=Now())
        waiting = self.filter(free, state=DataSetState.IMPORTING)
        return waiting.exclude(source=DataSetSource.JOB)

    def in_turn(self) -> "DataSetVersionQuerySet":
        """Returns due ones of tenants that have no version being read."""
        moving = DataSetVersion.objects.filter(state=DataSetState.IMPORTING)
        busy = moving.filter(leased_until__gt=Now()).values("tenant")
        return self.due().exclude(tenant__in=busy)


class DataSetVersion(models.Model):
    """A version: its rows are chunks, its report has figures and no text.

    Rows of a person are encrypted under that person's key, all others under a key that the version
    has for itself: the version's id is the subject of that key (inference/data_sets/encryption.py).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    data_set = models.ForeignKey(DataSet, models.CASCADE, related_name="versions", db_index=False)
    number = models.PositiveIntegerField()
    parent = models.ForeignKey("self", models.SET_NULL, null=True, related_name="children")
    made_by_job = models.UUIDField(null=True)  # a bare id: a job may be deleted before
    state = models.CharField(max_length=10, choices=DataSetState)
    source = models.CharField(max_length=14, choices=DataSetSource)
    form = models.CharField(max_length=10, choices=DataSetFormat)
    source_file_id = models.UUIDField(null=True)  # of source FILE, until it has been read
    selection = models.JSONField(null=True)  # of source CONVERSATIONS: period, model, origins
    stored_bytes = models.BigIntegerField(default=0)  # that count for the tenant's limit
    rows = models.PositiveIntegerField(default=0)
    held_out_rows = models.PositiveIntegerField(default=0)
    report = models.JSONField(default=dict)
    problem = models.CharField(max_length=40, default="")  # a code, of state FAILED
    created_by = models.CharField(max_length=60)
    created_at = models.DateTimeField(auto_now_add=True)
    ready_at = models.DateTimeField(null=True)
    # False: its rows do not say whose they are; the erasure of one of its people empties it, or
    # puts it out of use while a legal hold keeps another one's.
    traces_people = models.BooleanField(default=True)
    purged_rows = models.PositiveIntegerField(default=0)  # of erased people
    purged_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    leased_until = models.DateTimeField(null=True)  # a process reads it until then

    objects: ClassVar[DataSetVersionQuerySet] = DataSetVersionQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint("data_set", "number", name="inference_dataset_version")
        ]
        indexes = [
            models.Index(
                "created_at",
                name="dataset_importing",
                condition=models.Q(state__in=("uploading", "importing")),
            ),
            models.Index("tenant", "created_at", name="dataset_tenant_created"),
        ]

    def __str__(self) -> str:
        return f"{self.data_set}@{self.number}"

    @property
    def is_moving(self) -> bool:
        return self.state in MOVING

    def record(self, action: Action, by: str, **detail: Any) -> None:
        self.data_set.record(action, by, version=self.number, **detail)


class DataSetChunk(models.Model):
    """Whole rows of one person, or of nobody in particular; of an upload, bytes as they came."""

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    version = models.ForeignKey(
        DataSetVersion, models.CASCADE, related_name="chunks", db_index=False
    )
    part = models.CharField(max_length=8, choices=ChunkPart)
    number = models.PositiveIntegerField()  # from 0, for each part
    subject_id = models.UUIDField(null=True)
    data_key_id = models.UUIDField()
    rows = models.PositiveIntegerField(default=0)
    size = models.PositiveIntegerField()  # bytes in clear
    ciphertext = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint("version", "part", "number", name="inference_datasetchunk_once")
        ]
        indexes = [
            models.Index(
                "tenant",
                "subject_id",
                name="datasetchunk_person",
                condition=models.Q(subject_id__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"{self.version_id} {self.part} {self.number}"


class DataSetPerson(models.Model):
    """A person whose words are in a version, by pseudonym; also of a version without its rows."""

    is_history = True

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    version = models.ForeignKey(
        DataSetVersion, models.CASCADE, related_name="people", db_index=False
    )
    subject_id = models.UUIDField()
    rows = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint("version", "subject_id", name="inference_datasetperson_once")
        ]
        indexes = [models.Index("tenant", "subject_id", name="datasetperson_subject")]

    def __str__(self) -> str:
        return f"{self.version_id} {self.subject_id}"


class DataSetNoticeKind(models.TextChoices):
    PURGED = "purged", _("Rows of an erased person are gone")
    EMPTIED = "emptied", _("Emptied: it was made from rows of an erased person")
    HELD = "held", _("Out of use: made from rows of an erased person, kept for a legal hold")
    MODEL = "model", _("A model was trained on data of an erased person")


class DataSetNotice(models.Model):
    """A notice of an erasure to the owner of a data set or of a model version. It names nobody."""

    is_history = True

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="data_set_notices")
    version = models.ForeignKey(DataSetVersion, models.CASCADE, null=True, related_name="notices")
    model_version_id = models.UUIDField(null=True)
    kind = models.CharField(max_length=8, choices=DataSetNoticeKind)
    name = models.CharField(max_length=LONGEST_NAME + 12)  # of the version or model: `manual@3`
    subject_id = models.UUIDField(null=True)  # the owner's pseudonym
    rows = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class ConversationUse(models.Model):
    """A tenant's leave to make data sets of its conversations; without a row there is none."""

    tenant = models.OneToOneField(Tenant, models.CASCADE, related_name="conversation_use")
    allowed = models.BooleanField(default=False)
    reason = models.CharField(max_length=500, default="")  # the legal basis, in the tenant's words
    changed_by = models.CharField(max_length=60, default="")
    changed_at = models.DateTimeField(auto_now=True)

    objects: ClassVar[models.Manager["ConversationUse"]]

    def __str__(self) -> str:
        return f"{self.tenant_id} {self.allowed}"

    @classmethod
    def of(cls, tenant: Tenant) -> "ConversationUse":
        """Returns the tenant's rule; an unsaved one, which allows nothing, if it has none."""
        return cls.objects.filter(tenant=tenant).first() or cls(tenant=tenant)

    def change(self, *, allowed: bool, reason: str, by: str) -> None:
        """Allow or forbid it, with the reason. Raises ValidationError."""
        self.allowed, self.reason, self.changed_by = allowed, checked_reason(reason), by
        with transaction.atomic():
            ConversationUse.objects.update_or_create(
                tenant_id=self.tenant_id,
                defaults={"allowed": allowed, "reason": self.reason, "changed_by": by},
            )
            detail = {"allowed": allowed, "reason": self.reason}
            act(Action.DATA_SET_POLICY, actor=by, tenant_id=self.tenant_id, detail=detail)
