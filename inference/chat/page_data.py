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
from django.utils.translation import get_language, pgettext
from django.utils.translation import gettext as _

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

    Nobody has counted those of a copy (branches.py) before its first answer.
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


def words() -> dict[str, str]:
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
        "actions": _("Actions"),
        "pinned": _("Pinned"),
        "pin": _("Pin"),
        "unpin": _("Unpin"),
        "archive": _("Archive"),
        "unarchive": _("Take out of the archive"),
        "move": _("Move to a folder"),
        "share": _("Share a copy"),
        "export_as": _("Export as {form}"),
        "nothing_matches": _("Nothing matches."),
        "search_further": _("Search further back than {day}"),
        "good": _("Good answer"),
        "bad": _("Bad answer"),
        "why_good": _("What was good?"),
        "why_bad": _("What was wrong?"),
        "for_days": _("{n} days"),
        "until": _("until {when}"),
        "views": _("{n} views"),
        "end_sharing": _("End"),
        "left_tokens": _("{left} tokens left"),
        "left_requests": _("{left} requests left"),
        "left_cost": _("{left} of the budget left"),
        "quota_of_member": _("Yours"),
        "quota_of_team": _("Of your team"),
        "quota_of_model": _("Of the model {model}"),
        "quota_of_tenant": _("Of your tenant"),
        "of_tokens": _("{left} of {limit} tokens left"),
        "of_requests": _("{left} of {limit} requests left"),
        "of_cost": _("{left} of {limit} of the budget left"),
        "per_day": _("per day"),
        "per_month": _("per month"),
        "renews": _("Renews at {clock}, {when}."),
        "ask_for_more": _("Ask for more"),
        "more_asked": _("You have asked for more. Somebody decides soon."),
        "ask": _("Ask"),
        "how_much_more": _("How much more"),
        "why_more": _("What for"),
        "all_chats": _("All chats"),
        "archived": _("Archived"),
        "none_yet": _("Your conversations will be listed here."),
        "rename_chat": _("Rename the conversation"),
        "none_here": _("No conversations here."),
        "new_folder": _("New folder"),
        "no_folder": _("No folder"),
        "rename_folder": _("Rename the folder"),
        "delete_folder": _("Delete the folder"),
        "delete_folder_question": _("Delete the folder “{title}”? Its conversations stay."),
        "selected": _("{n} selected"),
        "select_one": _("Select “{title}”"),
        "delete_many_question": _("Delete the {n} selected conversations with all their messages?"),
        "deleted_many": _("{n} deleted."),
        "kept_many": _("{n} not deleted: {titles}. {why}"),
        "thinking": _("Thinking…"),
        "reasoning": _("Reasoning"),
        "waiting": _("Waiting for the model…"),
        "next_in_line": _("Waiting for the model… You are next."),
        "in_line": _("Waiting for the model… {n} before you."),
        "in_line_for": _("Waiting for the model… {n} before you, about {time}."),
        "stopped": _("Stopped."),
        "length": _("The answer reached its length limit."),
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
        "model_behind": _("leads to {model}"),
        "model_context": _("context of {n} tokens"),
        "model_images": pgettext("capability of a model", "images"),
        "model_tools": pgettext("capability of a model", "tools"),
        "model_hosted": _("outside this installation"),
        "model_price": _("{in} and {out} {currency} per million tokens, in and out"),
        "model_free": _("free of charge"),
        "model_down": _("does not answer"),
        "model_busy": _("busy"),
        "model_busy_for": _("busy, about {n} s"),
        "no_such_model": _("No model has these words."),
        "no_preset": _("None"),
        "default_preset": _("{name} (default)"),
        "make_default": _("Let new chats begin with it"),
        "end_default": _("New chats begin without it"),
        "preset_saved": _("{name} is saved."),
        "files": _("Files"),
        "attached": _("{name} is attached, about {n} tokens."),
        "remove_file": _("Remove {name}"),
        "file_removed": _("{name} is removed."),
        "file_erased": _("Erased file"),
        "file_failed": _("{name} could not be sent. Check your connection and attach it again."),
        "file_too_large": _(
            "“{name}” has {size} MB; a file may have {most} MB at most. Attach a part of it."
        ),
        "files_wait": _("Wait until the files have been read."),
        "reading": _("Being read…"),
        "pages": _("{n} pages"),
        "about_tokens": _("about {n} tokens"),
        "delete_question": _("Delete “{title}” with all its messages?"),
        "gone": _("This conversation has been deleted."),
        "send": _("Send"),
        "cancel": _("Cancel"),
        "edit": _("Edit"),
        "edit_note": _("The answer to your changed question stands beside the first one."),
        "edit_question": _("Edit question"),
        "copy_question": _("Copy question"),
        "again": _("Answer again"),
        "another_model": _("Answer with another model"),
        "continue": _("Continue the answer"),
        "fork": _("Go on from here in a new chat"),
        "previous": _("Previous version"),
        "next": _("Next version"),
        "of_siblings": _("Version {n} of {all}"),
        "queue": _("Send after this answer"),
        "queued": _("Waits for the answer"),
        "held": _("Not sent"),
        "send_now": _("Send now"),
        "remove": _("Remove"),
        "context_in_use": _("Context in use: {share} ({n} of {all} tokens)"),
        "summary_request": _(
            "Summarise our conversation so far, so that we can go on from your summary alone. Keep "
            "facts, figures, names, decisions and open questions."
        ),
        "reasoning_tokens": _("about {n} tokens"),
    }
