"""Dialogues and messages in their JSON form."""

from typing import Any

from audit.keys.keyring import Unreadable
from inference.models import Dialogue, DialogueMessage, Role

Json = dict[str, Any]


def dialogue_of(dialogue: Dialogue) -> Json:
    return {
        "id": dialogue.public_id,
        "object": "dialogue",
        "status": dialogue.status,
        "assistant": str(dialogue.assistant_id),
        "assistant_version": dialogue.version,
        "language": dialogue.language,
        "channel": dialogue.channel,
        "created_at": int(dialogue.created_at.timestamp()),
        "closed_at": int(dialogue.closed_at.timestamp()) if dialogue.closed_at else None,
        "satisfaction": dialogue.satisfaction,
        "resolved": dialogue.was_resolved,
        "messages": dialogue.messages_count,
    }


def message_of(message: DialogueMessage) -> Json:
    """Returns a message. The text of an erased person is null."""
    shown: Json = {
        "id": str(message.pk),
        "object": "dialogue.message",
        "number": message.number,
        "role": message.role,
        "text": None,
        "created_at": int(message.created_at.timestamp()),
    }
    try:
        content = message.content
    except Unreadable:
        return shown
    shown["text"] = content.text
    if message.role == Role.ASSISTANT:
        sources = [
            {"id": each.id, "title": each.title, "url": each.url} for each in content.sources
        ]
        shown |= {
            "sources": sources,
            "intent": message.intent,
            "step": message.step,
            "worded_by": message.worded_by,
        }
    if message.client_id and message.role == Role.PERSON:
        shown["client_id"] = str(message.client_id)
    return shown
