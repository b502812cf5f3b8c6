"""Files of a chat's messages. Only what a model gets of a file stays: its text, or an image."""

import uuid
from typing import ClassVar, Self

from django.db import models

from inference.models.chat.conversation import Message
from tenants.models import Member, Tenant


class AttachmentQuerySet(models.QuerySet["Attachment"]):
    def unsent(self) -> Self:
        return self.filter(message=None)

    def readable(self) -> Self:
        """Those that have been read, and may go with a message."""
        return self.exclude(ciphertext=None)


class Attachment(models.Model):
    """A file of a member; `message` is the question that it was sent with.

    Its name, and its text or image, are encrypted under the member's key.
    """

    # Row security (tenants/isolation) uses it while the person's tenant is not known yet.
    seen_by_person = (
        "member_id in (select tenants_member.id from tenants_member"
        " where tenants_member.user_id = {person})"
    )

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    member = models.ForeignKey(Member, models.CASCADE, related_name="attachments")
    message = models.ForeignKey(
        Message, models.CASCADE, null=True, related_name="attachments", db_index=False
    )
    kind = models.CharField(max_length=10)  # inference/text_extraction/kinds.py
    media_type = models.CharField(max_length=20, default="")  # of an image
    size = models.PositiveBigIntegerField()  # bytes of the file
    pages = models.PositiveIntegerField(default=0)
    tokens = models.PositiveIntegerField(default=0)  # estimated
    number = models.PositiveSmallIntegerField(default=0)  # among those of its message
    data_key_id = models.UUIDField()
    name_ciphertext = models.BinaryField()
    ciphertext = models.BinaryField(null=True)  # None until the file is whole, and read
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[AttachmentQuerySet] = AttachmentQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        indexes = [
            models.Index(fields=["message", "number"], name="attachment_message"),
            models.Index(
                fields=["tenant", "created_at"],
                name="attachment_unsent",
                condition=models.Q(message=None),
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)


class AttachmentPiece(models.Model):
    """Bytes of a file as they came, encrypted. They go once the file has been read."""

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    attachment = models.ForeignKey(
        Attachment, models.CASCADE, related_name="pieces", db_index=False
    )
    number = models.PositiveIntegerField()
    size = models.PositiveIntegerField()  # bytes in the clear
    data_key_id = models.UUIDField()
    ciphertext = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["attachment", "number"], name="inference_attachmentpiece_number"
            )
        ]

    def __str__(self) -> str:
        return f"{self.attachment_id}/{self.number}"
