"""A conversation as a document: its messages in order, without anything that is of the page."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from audit.keys.keyring import Unreadable
from inference.chat.attachments.selection import shown_by_message
from inference.chat.conversations import said_in, title_of
from inference.models import Conversation, Message
from inference.reasoning import Said

FORMAT = "forebay.conversation/1"


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    id: UUID
    author: str
    text: str
    created_at: datetime
    parent: UUID | None = None
    reasoning: str = ""
    finish_reason: str = ""
    rating: int | None = None
    attachments: list[str] = []  # names of files


class Transcript(msgspec.Struct, frozen=True, kw_only=True):
    """`shown` names the messages of the branch that the page shows, in order."""

    title: str
    model: str
    created_at: datetime
    exported_at: datetime
    messages: list[Entry]
    shown: list[UUID]
    format: str = FORMAT


def transcript(
    conversation: Conversation, at: datetime, *, all_branches: bool = False
) -> Transcript:
    """Returns the shown branch, or the messages of all branches in the order of time."""
    tree, shown = conversation.tree(), conversation.branch()
    rows = list(conversation.messages.order_by("created_at")) if all_branches else shown
    attached = shown_by_message(row.pk for row in rows)
    files = {key: [file.name for file in own] for key, own in attached.items()}
    return Transcript(
        title=title_of(conversation),
        model=conversation.model,
        created_at=conversation.created_at,
        exported_at=at,
        messages=[
            _entry(row, tree.parent(row.pk), files.get(row.pk, [])) for row in _written(rows)
        ],
        shown=[row.pk for row in shown],
    )


def _written(rows: Iterable[Message]) -> Iterable[Message]:
    return (row for row in rows if row.ciphertext is not None)


def _entry(message: Message, parent: UUID | None, files: list[str]) -> Entry:
    words = _said(message)
    return Entry(
        id=message.pk,
        author=message.author,
        text=words.text,
        created_at=message.created_at,
        parent=parent,
        reasoning=words.reasoning,
        finish_reason=message.finish_reason,
        rating=message.rating,
        attachments=files,
    )


def _said(message: Message) -> Said:
    try:
        return said_in(message)
    except Unreadable:
        return Said("")


def as_json(document: Transcript) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


def decoded(content: bytes) -> Transcript:
    return msgspec.json.decode(content, type=Transcript)


def frozen(document: Transcript) -> bytes:
    """Returns the bytes of a copy for others: without reasoning, ratings and names of files."""
    private: dict[str, Any] = {"reasoning": "", "rating": None, "attachments": []}
    plain = [msgspec.structs.replace(entry, **private) for entry in document.messages]
    return msgspec.json.encode(msgspec.structs.replace(document, messages=plain))
