"""Conversations of the chat: folders, messages, ratings, shares."""

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from inference.models.chat.message_tree import MessageTree, Node
from tenants.models import Member, Tenant

_SEEN_BY_PERSON = (
    "member_id in (select tenants_member.id from tenants_member"
    " where tenants_member.user_id = {person})"
)


class ConversationFolder(models.Model):
    """A member's folder of conversations. Its name is encrypted under the member's key."""

    seen_by_person = _SEEN_BY_PERSON

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    member = models.ForeignKey(Member, models.CASCADE, related_name="conversation_folders")
    data_key_id = models.UUIDField()
    name_ciphertext = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return str(self.id)


class Conversation(models.Model):
    """A member's chat. Title and messages are encrypted under the member's key."""

    # Row security (tenants/isolation) uses it while the person's tenant is not known yet.
    seen_by_person = _SEEN_BY_PERSON

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="conversations")
    member = models.ForeignKey(Member, models.CASCADE, related_name="conversations")
    model = models.CharField(max_length=120)
    data_key_id = models.UUIDField()
    title_ciphertext = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now_add=True)
    # A message of the shown branch, which goes on with the newest. Without one: the newest of all.
    leaf = models.ForeignKey(
        "inference.Message",
        models.DO_NOTHING,
        null=True,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    folder = models.ForeignKey(
        ConversationFolder, models.SET_NULL, null=True, related_name="conversations"
    )
    pinned_at = models.DateTimeField(null=True)
    archived_at = models.DateTimeField(null=True)
    # Deleted when the person leaves it (inference/chat/collection/temporary.py). It has no title.
    temporary = models.BooleanField(default=False, db_default=False)
    # System prompt and parameters (inference/chat/presets/settings.py), under the member's key.
    settings_key_id = models.UUIDField(null=True)
    settings_ciphertext = models.BinaryField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["member", "-updated_at"], name="conversation_member"),
            models.Index(
                "updated_at", name="conversation_temporary", condition=models.Q(temporary=True)
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)

    def tree(self) -> MessageTree:
        rows = self.messages.order_by("created_at").values_list("id", "parent_id", "is_first")
        return MessageTree(Node(*row) for row in rows)

    def branch(self, end: uuid.UUID | None = None, newest: int = 0) -> list["Message"]:
        """Returns the messages of the shown branch, or of the one that ends with `end`, in order.

        `newest` limits them to so many. Raises KeyError for an `end` that is not in here.
        """
        tree = self.tree()
        ids = tree.path(end) if end else tree.shown(self.leaf_id)
        return self.messages_of(ids[-newest:])

    def messages_of(self, ids: list[uuid.UUID]) -> list["Message"]:
        """Returns those messages, in the order of their ids."""
        rows = {row.id: row for row in self.messages.filter(id__in=ids)}
        return [rows[pk] for pk in ids]


class Author(models.TextChoices):
    USER = "user", _("You")
    ASSISTANT = "assistant", _("Assistant")


class Rating(models.IntegerChoices):
    GOOD = 1, _("Good")
    BAD = -1, _("Bad")


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
    # What the person thinks of an answer, with a reason under the same key.
    rating = models.SmallIntegerField(choices=Rating, null=True)
    rating_ciphertext = models.BinaryField(null=True)
    rated_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    # The message that it answers, follows or continues; see message_tree.py. No constraint: all
    # messages of a conversation are deleted together, by statements that need no look at each.
    parent = models.ForeignKey(
        "self",
        models.DO_NOTHING,
        null=True,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    is_first = models.BooleanField(default=False, db_default=False)  # the first of its branch
    # Later prompts begin with the summary, in place of the messages before it.
    is_summary = models.BooleanField(default=False, db_default=False)

    class Meta:
        indexes = [
            models.Index(fields=["conversation", "created_at"], name="message_conversation"),
            models.Index(
                fields=["tenant", "rated_at"],
                name="message_rated",
                condition=models.Q(rating__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)


class Audience(models.TextChoices):
    MEMBERS = "members", _("People of the tenant")
    LINK = "link", _("Everybody with the link")


class ConversationShare(models.Model):
    """A frozen copy of a conversation for others, encrypted under the member's key.

    It goes with the conversation, with the member, and with the member's key. Its address has a
    token of which only the hash is stored.
    """

    seen_by_person = _SEEN_BY_PERSON

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    conversation = models.ForeignKey(Conversation, models.CASCADE, related_name="shares")
    member = models.ForeignKey(Member, models.CASCADE, related_name="conversation_shares")
    audience = models.CharField(max_length=10, choices=Audience)
    digest = models.BinaryField(unique=True)
    data_key_id = models.UUIDField()
    ciphertext = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(db_index=True)
    views = models.PositiveIntegerField(default=0)
    viewed_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return str(self.id)
