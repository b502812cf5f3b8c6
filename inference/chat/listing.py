"""A member's conversations as the page lists them, newest first."""

from datetime import datetime
from typing import Any

from django.urls import reverse

from inference.chat import conversations
from inference.chat.message_texts import title_of
from inference.chat.protocol import Listed
from inference.models import Conversation
from tenants.models import Member

PAGE = 50


def page(member: Member, before: datetime | None = None) -> dict[str, Any]:
    """Returns a page of the list. `more` tells whether there are older ones."""
    owned = conversations.of_member(member)
    if before:
        owned = owned.filter(updated_at__lt=before)
    rows = list(owned[: PAGE + 1])
    return {"conversations": [listed(row) for row in rows[:PAGE]], "more": len(rows) > PAGE}


def listed(conversation: Conversation) -> Listed:
    return Listed(
        id=conversation.id,
        title=title_of(conversation),
        model=conversation.model,
        updated_at=conversation.updated_at.isoformat(),
        url=reverse("chat:conversation", args=[conversation.id]),
    )
