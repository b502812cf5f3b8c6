import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.models import Member, Tenant


class Conversation(models.Model):
    """A member's chat. Title and messages are encrypted under the member's key."""

    # Row security (tenants/isolation) uses it while the person's tenant is not known yet.
    seen_by_person = (
        "member_id in (select tenants_member.id from tenants_member"
        " where tenants_member.user_id = {person})"
    )

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="conversations")
    member = models.ForeignKey(Member, models.CASCADE, related_name="conversations")
    model = models.CharField(max_length=120)
    data_key_id = models.UUIDField()
    title_ciphertext = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["member", "-updated_at"], name="conversation_member")]

    def __str__(self) -> str:
        return str(self.id)


class Author(models.TextChoices):
    USER = "user", _("You")
    ASSISTANT = "assistant", _("Assistant")


class Message(models.Model):
    """One turn. The text of an answer arrives with the settlement of its completion."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+")
    conversation = models.ForeignKey(Conversation, models.CASCADE, related_name="messages")
    author = models.CharField(max_length=10, choices=Author)
    completion_id = models.UUIDField(null=True, unique=True)
    data_key_id = models.UUIDField()
    ciphertext = models.BinaryField(null=True)
    finish_reason = models.CharField(max_length=20, default="")
    # Answers only: how many of the oldest messages did not fit into the request.
    left_out = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["conversation", "created_at"], name="message_conversation")]

    def __str__(self) -> str:
        return str(self.id)
