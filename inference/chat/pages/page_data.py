"""The data of the page's scripts: those with which they start, and those that they read again."""

import math
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from django.conf import settings
from django.db.models import QuerySet
from django.urls import reverse
from django.utils.translation import get_language

from inference.chat import conversations
from inference.chat.answers import branch_turns
from inference.chat.collection import folders, sharing, temporary
from inference.chat.history import so_far
from inference.chat.listed import listed
from inference.chat.model_choices import choices
from inference.chat.presets.listing import presets_of
from inference.chat.presets.settings import settings_of
from inference.chat.problems import ChatRefused
from inference.chat.prompt import total_tokens
from inference.chat.protocol import MAX_TEXT, Turn
from inference.chat.requests.page_words import words
from inference.intake.access.allowed import context_length, models_for
from inference.models import Conversation, PresetLevel
from inference.text_extraction.kinds import endings
from tenants.models import Member

PAGE = 50  # conversations


def page_data(member: Member, opened: Conversation | None) -> Any:
    tenant, rules = member.tenant.name, member.tenant
    socket = urlencode({"tenant": tenant, "language": get_language() or ""})
    data = {
        "tenant": tenant,
        "me": str(member.id),
        "socket": f"/ws/chat/?{socket}",
        "home": reverse("chat:page"),
        "list": reverse("chat:conversations"),
        "folders": reverse("chat:folders"),
        "deletions": reverse("chat:deletions"),
        "search": reverse("chat:search"),
        "shares": reverse("chat:shares"),
        "quotas": reverse("chat:quotas"),
        "share_days": sharing.DAYS,
        "audiences": [[a.value, str(a.label)] for a in sharing.audiences(rules.chat_sharing)],
        "temporary": temporary.rule(member),
        "models": (models := models_for(member)),
        "contexts": {name: context_length(member.tenant_id, name) for name in models},
        "model_choices": choices(member),
        "model_list": reverse("chat:models"),
        "currency": settings.CURRENCY,
        "presets": presets_of(member),
        "preset_list": reverse("chat:presets"),
        "preset_levels": {level.value: str(level.label) for level in PresetLevel},
        "settings": reverse("chat:settings"),
        "max_text": MAX_TEXT,
        "files": reverse("chat:attachments"),
        "fit": reverse("chat:fit"),
        "file_bytes": settings.ATTACHMENT_BYTES,
        "file_types": ",".join(endings()),
        "language": get_language(),
        "words": words(),
        "listing": page(member),
        "opened": opened and with_messages(opened),
    }
    return msgspec.to_builtins(data)


def with_messages(conversation: Conversation) -> dict[str, Any]:
    messages = branch_turns(conversation)
    return {
        "conversation": listed(conversation),
        "settings": settings_of(conversation),
        "messages": messages,
        "tokens": _estimated_tokens(conversation, messages),
    }


def _estimated_tokens(conversation: Conversation, messages: list[Turn]) -> int:
    """Returns about how many tokens a model reads of it; 0 if an engine has counted them.

    Nobody has counted those of a copy (inference/chat/branches.py) before its first answer.
    """
    if not messages or any(turn.figures or turn.streaming for turn in messages):
        return 0
    try:
        earlier = so_far(conversation.member, conversation.id, conversation.model)
    except ChatRefused:
        return 0
    return math.ceil(total_tokens(earlier))


class Shelf(NamedTuple):
    """The part of the list that a page shows: the archive, or a folder, or all but the archive."""

    folder: UUID | None = None
    archived: bool = False

    def of(self, member: Member) -> QuerySet[Conversation]:
        owned = conversations.of_member(member).filter(temporary=False)
        owned = owned.filter(archived_at__isnull=not self.archived)
        return owned.filter(folder=self.folder) if self.folder else owned


WHOLE_LIST = Shelf()


def page(
    member: Member, before: datetime | None = None, shelf: Shelf = WHOLE_LIST
) -> dict[str, Any]:
    """Returns a page of the list, newest first; the first one has pins and folders, too.

    `more` tells whether there are older ones.
    """
    owned = shelf.of(member)
    unpinned = owned if shelf.archived else owned.filter(pinned_at=None)
    older = unpinned.filter(updated_at__lt=before) if before else unpinned
    rows = list(older[: PAGE + 1])
    first = {} if before else _first_page(member, owned, shelf)
    return {"conversations": [listed(r) for r in rows[:PAGE]], "more": len(rows) > PAGE, **first}


def _first_page(member: Member, owned: QuerySet[Conversation], shelf: Shelf) -> dict[str, Any]:
    pinned = owned.exclude(pinned_at=None).order_by("-pinned_at")[:PAGE]
    return {
        "pinned": [] if shelf.archived else [listed(row) for row in pinned],
        "folders": [folders.listed(folder) for folder in folders.of_member(member)],
    }
