"""Exports of one conversation, in one of several forms."""

from collections.abc import Callable
from dataclasses import dataclass

from django.utils import timezone

from audit.actions import Action
from inference.chat.collection.markdown import as_markdown
from inference.chat.collection.pdf import as_pdf
from inference.chat.collection.transcript import Transcript, as_json, transcript
from inference.chat.conversations import record, title_of
from inference.chat.problems import ChatRefused
from inference.models import Conversation
from infrastructure.postgres.queries import lock_within

WAIT_S = 3.0  # for another export of the same person
BUSY = "export_busy"


@dataclass(frozen=True, slots=True)
class Form:
    suffix: str
    content_type: str
    write: Callable[[Transcript], bytes]


FORMS = {
    "markdown": Form("md", "text/markdown; charset=utf-8", lambda d: as_markdown(d).encode()),
    "json": Form("json", "application/json", as_json),
    "pdf": Form("pdf", "application/pdf", as_pdf),
}


@dataclass(frozen=True, slots=True)
class Exported:
    name: str  # of the file
    content_type: str
    content: bytes


def export(conversation: Conversation, form: str, *, all_branches: bool = False) -> Exported:
    """Export the shown branch, or all of them, and record that. Needs a transaction.

    One at a time of a person: each keeps a processor busy. Raises KeyError for the form, and
    ChatRefused.
    """
    chosen = FORMS[form]
    if not lock_within(f"chat export:{conversation.member.user_id}", WAIT_S):
        raise ChatRefused(BUSY)
    document = transcript(conversation, timezone.now(), all_branches=all_branches)
    content = chosen.write(document)
    record(Action.CONVERSATION_EXPORT, conversation, form=form, messages=len(document.messages))
    name = _file_name(title_of(conversation)) or str(conversation.pk)
    return Exported(f"{name}.{chosen.suffix}", chosen.content_type, content)


def _file_name(title: str) -> str:
    plain = "".join(char if char.isalnum() or char in " -_" else " " for char in title)
    return " ".join(plain.split())
