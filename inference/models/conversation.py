import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from inference.models.message_tree import MessageTree, Node
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
    # A message of the shown branch, which goes on with the newest. Without one: the newest of all.
    leaf = models.ForeignKey(
        "inference.Message",
        models.DO_NOTHING,
        null=True,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )

    class Meta:
        indexes = [models.Index(fields=["member", "-updated_at"], name="conversation_member")]

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
        indexes = [models.Index(fields=["conversation", "created_at"], name="message_conversation")]

    def __str__(self) -> str:
        return str(self.id)
