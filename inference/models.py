"""What tenants ask for and what came of it. The hot path writes these tables by SQL (ledger.py)."""

import uuid
from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.models import ApiKey, Member, Tenant


class State(models.TextChoices):
    OPEN = "open", _("In progress")
    DONE = "done", _("Done")
    CANCELLED = "cancelled", _("Cancelled")
    FAILED = "failed", _("Failed")


class CompletionQuerySet(models.QuerySet["Completion"]):
    def open(self) -> "CompletionQuerySet":
        return self.filter(state=State.OPEN)

    def newest_first(self) -> "CompletionQuerySet":
        return self.order_by("-created_at")


class Completion(models.Model):
    """One request for a completion. Its id is the request id everywhere."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="completions")
    api_key = models.ForeignKey(ApiKey, models.SET_NULL, null=True, related_name="+")
    member = models.ForeignKey(Member, models.SET_NULL, null=True, related_name="+")
    model = models.CharField(max_length=120)
    route = models.CharField(max_length=80)
    stream = models.BooleanField(default=False)
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    created_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True)

    objects: ClassVar[CompletionQuerySet] = CompletionQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        indexes = [
            models.Index(fields=["tenant", "-created_at"], name="completion_tenant_created"),
            models.Index(fields=["-created_at"], name="completion_created"),
            models.Index(
                "created_at", name="completion_open", condition=models.Q(state=State.OPEN)
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)


class Usage(models.Model):
    """What a completion consumed. Exactly one row each, whatever died on the way."""

    completion = models.OneToOneField(Completion, models.PROTECT, primary_key=True)
    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="usage")
    model = models.CharField(max_length=120)
    prompt_tokens = models.IntegerField()
    completion_tokens = models.IntegerField()
    cached_tokens = models.IntegerField(default=0)
    finish_reason = models.CharField(max_length=20)  # "stop", "length", …, "cancelled", "error"
    error_code = models.CharField(max_length=60, default="")
    attempts = models.SmallIntegerField(default=1)
    queue_ms = models.IntegerField(null=True)
    ttft_ms = models.IntegerField(null=True)  # time to first token, from the door
    duration_ms = models.IntegerField()
    created_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["created_at"], name="usage_created"),
            models.Index(fields=["tenant", "-created_at"], name="usage_tenant_created"),
        ]

    def __str__(self) -> str:
        return f"usage of {self.completion_id}"


class Conversation(models.Model):
    """A member's chat. Title and messages are sealed under the member's key."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="conversations")
    member = models.ForeignKey(Member, models.CASCADE, related_name="conversations")
    model = models.CharField(max_length=120)
    data_key_id = models.UUIDField()
    sealed_title = models.BinaryField()
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
    """One turn. An answer's text arrives with its completion's settlement."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    conversation = models.ForeignKey(Conversation, models.CASCADE, related_name="messages")
    author = models.CharField(max_length=10, choices=Author)
    completion_id = models.UUIDField(null=True, unique=True)
    data_key_id = models.UUIDField()
    sealed = models.BinaryField(null=True)
    finish_reason = models.CharField(max_length=20, default="")
    created_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["conversation", "created_at"], name="message_conversation")]

    def __str__(self) -> str:
        return str(self.id)
