"""A conversation as lists show it."""

from django.urls import reverse

from inference.chat.conversations import title_of
from inference.chat.protocol import Listed
from inference.models import Conversation


def listed(conversation: Conversation) -> Listed:
    return Listed(
        id=conversation.id,
        title=title_of(conversation),
        model=conversation.model,
        updated_at=conversation.updated_at.isoformat(),
        url=reverse("chat:conversation", args=[conversation.id]),
        pinned=conversation.pinned_at is not None,
        archived=conversation.archived_at is not None,
        folder=conversation.folder_id,
        temporary=conversation.temporary,
    )
