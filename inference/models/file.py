"""Files that clients uploaded, in encrypted pieces."""

import uuid
from datetime import timedelta
from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants.models import ApiKey, Tenant

IN_PARTS = timedelta(hours=1)  # parts of an upload may arrive for this long


class FilePurpose(models.TextChoices):
    """The purpose of a file, mostly in OpenAI's words."""

    BATCH = "batch", _("Input of a batch")
    FINE_TUNE = "fine-tune", _("Training data")
    MODEL = "model", _("Files of a model")  # not OpenAI's
    BATCH_OUTPUT = "batch_output", _("Output of a batch")


class FileQuerySet(models.QuerySet["File"]):
    def whole(self) -> "FileQuerySet":
        return self.filter(whole=True)

    def pending(self) -> "FileQuerySet":
        """Uploads in parts that are open for further parts."""
        since = timezone.now() - IN_PARTS
        return self.filter(whole=False, declared_size__isnull=False, created_at__gt=since)

    def of_key(self, api_key_id: uuid.UUID) -> "FileQuerySet":
        """Files of this key, or of a key that it was rotated from or to, as with its requests."""
        return self.filter(api_key__in=ApiKey.objects.readable_with(api_key_id))


class File(models.Model):
    """A file of a tenant's key. Name and content are encrypted under the subject's key.

    The associated data of both is in inference/batch/encryption.py.
    """

    is_history = True  # keeps its subject's pseudonym: tenants/personal_data/erasure.py

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="files", db_index=False)
    api_key = models.ForeignKey(ApiKey, models.SET_NULL, null=True, related_name="+")
    subject_id = models.UUIDField()
    data_key_id = models.UUIDField()
    purpose = models.CharField(max_length=20, choices=FilePurpose)
    name_ciphertext = models.BinaryField()
    size = models.BigIntegerField(default=0)  # bytes; while it is being written, those reserved
    whole = models.BooleanField(default=False)  # false while it is being written
    # Uploads in parts only. Each part has its own row until the upload is complete.
    declared_size = models.BigIntegerField(null=True)
    expires_after_s = models.PositiveIntegerField(null=True)
    part_of = models.ForeignKey("self", models.CASCADE, null=True, related_name="parts")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True)  # deleted then; None: with its retention

    objects: ClassVar[FileQuerySet] = FileQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        indexes = [
            models.Index(fields=["tenant", "-created_at"], name="file_tenant_created"),
            models.Index("created_at", name="file_being_written", condition=models.Q(whole=False)),
            models.Index(
                "expires_at", name="file_expires", condition=models.Q(expires_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return f"file-{self.id.hex}"


class FileChunk(models.Model):
    """A piece of a file's content. All but the last have the same length."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    file = models.ForeignKey(File, models.CASCADE, related_name="chunks", db_index=False)
    number = models.PositiveIntegerField()  # from 0
    ciphertext = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["file", "number"], name="inference_filechunk_once")
        ]

    def __str__(self) -> str:
        return f"{self.file_id} {self.number}"
