"""The data of the page's scripts: those with which they start, and those that they read again."""

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import msgspec
from django.urls import reverse
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from inference.chat import conversations
from inference.chat.answers import turns
from inference.chat.conversations import title_of
from inference.chat.protocol import MAX_TEXT, Listed
from inference.intake.access.allowed import models_for
from inference.models import Conversation
from tenants.models import Member

PAGE = 50  # conversations


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
        "words": _words(),
        "listing": page(member),
        "opened": opened and with_messages(opened),
    }
    return msgspec.to_builtins(data)


def with_messages(conversation: Conversation) -> dict[str, Any]:
    return {"conversation": listed(conversation), "messages": turns(conversation.branch())}


def page(member: Member, before: datetime | None = None) -> dict[str, Any]:
    """Returns a page of the list, newest first. `more` tells whether there are older ones."""
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


def _words() -> dict[str, str]:
    return {
        "you": _("You"),
        "assistant": _("Assistant"),
        "new_chat": _("New chat"),
        "untitled": _("Untitled chat"),
        "today": _("Today"),
        "yesterday": _("Yesterday"),
        "week": _("Last 7 days"),
        "older": _("Older"),
        "copy": _("Copy"),
        "copied": _("Copied"),
        "copy_code": _("Copy code"),
        "copy_answer": _("Copy answer"),
        "rename": _("Rename"),
        "delete": _("Delete"),
        "actions": _("Rename or delete"),
        "thinking": _("Thinking…"),
        "reasoning": _("Reasoning"),
        "waiting": _("Waiting for the model…"),
        "next_in_line": _("Waiting for the model… You are next."),
        "in_line": _("Waiting for the model… {n} before you."),
        "in_line_for": _("Waiting for the model… {n} before you, about {time}."),
        "stopped": _("Stopped."),
        "length": _("The answer reached its length limit. Write “continue” for more."),
        "filtered": _("The model's content filter ended this answer."),
        "tokens": _("{n} tokens"),
        "speed": _("{n} tokens/s"),
        "first_token": _("first token after {t}"),
        "served_by": _("by {pool}"),
        "left": _("answered outside this installation"),
        "ms": _("{n} ms"),
        "seconds": _("{n} s"),
        "reconnecting": _("Connection lost. Reconnecting…"),
        "offline": _("You are offline. The chat resumes when you are back online."),
        "signed_out": _("You have been signed out."),
        "no_member": _("You may no longer chat in this tenant."),
        "tenant_closed": _("This tenant is suspended or closed. Ask its owner."),
        "too_many": _("The chat is open in too many windows. Close some of them."),
        "reload": _("Sign in again"),
        "try_again": _("Try again"),
        "again_in": _("Try again {when}."),
        "shorter": _("Get an answer of at most {n} tokens"),
        "failed": _("That did not work. Check your connection and try again."),
        "wait_or_stop": _("Wait for the answer, or stop it with Esc."),
        "too_long": _("Too long: {n} of {max} characters."),
        "image": _("Image"),
        "delete_question": _("Delete “{title}” with all its messages?"),
        "gone": _("This conversation has been deleted."),
    }
