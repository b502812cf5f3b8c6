"""The data with which the page's scripts start."""

from typing import Any
from urllib.parse import urlencode

import msgspec
from django.urls import reverse
from django.utils.translation import get_language

from inference.chat import listing
from inference.chat.answers import turns
from inference.chat.protocol import MAX_TEXT
from inference.chat.script_messages import words
from inference.intake.access.allowed import models_for
from inference.models import Conversation
from tenants.models import Member


def page_data(member: Member, opened: Conversation | None) -> Any:
    tenant = member.tenant.name
    socket = urlencode({"tenant": tenant, "language": get_language() or ""})
    data = {
        "tenant": tenant,
        "socket": f"/ws/chat/?{socket}",
        "home": reverse("chat:page"),
        "list": reverse("chat:conversations"),
        "models": models_for(member),
        "max_text": MAX_TEXT,
        "language": get_language(),
        "words": words(),
        "listing": listing.page(member),
        "opened": opened and _opened(opened),
    }
    return msgspec.to_builtins(data)


def _opened(conversation: Conversation) -> dict[str, Any]:
    rows = conversation.messages.order_by("created_at").select_related("conversation")
    return {"conversation": listing.listed(conversation), "messages": turns(rows)}
