"""A member's conversations as the page lists them, newest first."""

from datetime import datetime
from typing import Any

from django.urls import reverse

from inference.chat import conversations
from inference.chat.encryption import title_of
from inference.chat.protocol import Listed
from inference.models import Conversation
from tenants.models import Member

PAGE = 50


def page(member: Member, before: datetime | None = None) -> dict[str, Any]:
    """`more` tells whether there are older ones."""
    found = conversations.of_member(member)
    if before:
        found = found.filter(updated_at__lt=before)
    rows = list(found[: PAGE + 1])
    return {"conversations": [listed(row) for row in rows[:PAGE]], "more": len(rows) > PAGE}


def listed(conversation: Conversation) -> Listed:
    return Listed(
        id=conversation.id,
        title=title_of(conversation),
        model=conversation.model,
        updated_at=conversation.updated_at.isoformat(),
        url=reverse("chat:conversation", args=[conversation.id]),
    )
