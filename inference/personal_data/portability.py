"""Exports a person's prompts, answers, conversations and usage."""

from base64 import b64encode
from collections.abc import Iterator
from itertools import islice
from typing import Any
from uuid import UUID

import msgspec
import orjson
from msgspec import to_builtins

from audit.actions import Action
from audit.exports.portability import Portable, Row, register
from audit.keys.keyring import Unreadable, keyring
from audit.models import Event, Payload
from audit.search import texts
from inference.chat.attachments.encryption import content_of, name_of
from inference.chat.collection import folders, rating
from inference.chat.conversations import said_in, title_of
from inference.chat.presets.settings import settings_of
from inference.chat.presets.storing import readable as readable_preset
from inference.models import Attachment, Conversation, Message, Preset, Usage
from inference.order import unpacked
from inference.personal_data import (
    action_calls,
    data_sets,
    decisions,
    dialogues,
    evaluations,
    files,
    jobs,
    stored_responses,
)
from inference.personal_data.erasure import received
from inference.reasoning import Said

BATCH = 200
_OF_SHARE = ("audience", "created_at", "expires_at", "views")
_OF_EVENT = ("status", "error_code", "tokens_in", "tokens_out", "processing_ms", "upstream")


def _requests(tenant_id: UUID, subject_id: UUID) -> Iterator[Row]:
    for batch in _in_batches(tenant_id, subject_id):
        for events in texts.portions(batch, lambda event: event.request_id):
            yield from _with_texts(tenant_id, events)


def _with_texts(tenant_id: UUID, events: list[Event]) -> Iterator[Row]:
    of_these = {"tenant_id": tenant_id, "request_id__in": [e.request_id for e in events]}
    payloads = Payload.objects.filter(**of_these)
    ciphertext = {(payload.request_id, payload.field): payload for payload in payloads}
    ended = Event.objects.filter(**of_these, action=Action.COMPLETION_COMPLETED)
    ends = {event.request_id: event for event in ended}
    for event in events:
        assert event.request_id
        request = ciphertext.get((event.request_id, "request"))
        response = ciphertext.get((event.request_id, "response"))
        end = ends.get(event.request_id)
        yield {
            "id": event.request_id,
            "at": event.at,
            "route": event.route,
            "model": event.model,
            **_request(request),
            "response": _readable(_opened(response)),
            **({name: getattr(end, name) for name in _OF_EVENT} if end else {}),
        }


def _in_batches(tenant_id: UUID, subject_id: UUID) -> Iterator[list[Event]]:
    rows = received(tenant_id, subject_id).order_by("at", "id").iterator(BATCH)
    while batch := list(islice(rows, BATCH)):
        yield batch


def _request(payload: Payload | None) -> Row:
    clear = _opened(payload)
    try:
        order = unpacked(clear) if clear else None
    except msgspec.DecodeError:
        return {"request": _readable(clear)}
    if order is None:
        return {"request": None}
    return {"request": _readable(order.body), "client_ip": order.client_ip}


def _opened(payload: Payload | None) -> bytes | None:
    if payload is None:
        return None
    aad = texts.aad(payload.tenant_id, payload.request_id, payload.field)
    try:
        return keyring.by_id_now(payload.data_key_id).decrypt(bytes(payload.ciphertext), aad)
    except Unreadable:
        return None


def _readable(body: bytes | None) -> Any:
    """Returns JSON as JSON, all else as text."""
    if body is None:
        return None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode(errors="replace")


def _conversations(tenant_id: UUID, subject_id: UUID) -> Iterator[Row]:
    rows = Conversation.objects.filter(tenant_id=tenant_id, member__subject_id=subject_id)
    rows = rows.select_related("folder")
    for conversation in rows.order_by("created_at"):
        messages = conversation.messages.select_related("conversation").order_by("created_at")
        yield {
            "id": conversation.id,
            "title": title_of(conversation),
            "model": conversation.model,
            "settings": to_builtins(settings_of(conversation)),
            "created_at": conversation.created_at,
            "folder": conversation.folder and folders.name_of(conversation.folder),
            "pinned_at": conversation.pinned_at,
            "archived_at": conversation.archived_at,
            "shares": list(conversation.shares.values(*_OF_SHARE)),
            "messages": [_message(message) for message in messages],
        }


def _message(message: Message) -> Row:
    try:
        words = said_in(message) if message.ciphertext else Said("")
    except Unreadable:
        words = Said("")
    row: Row = {"id": message.id, "author": message.author, "text": words.text}
    row |= {"created_at": message.created_at, "follows": message.parent_id}
    if message.rating is not None:
        row |= {"rating": message.rating, "rating_reason": rating.reason_of(message)}
    return {**row, "reasoning": words.reasoning} if words.reasoning else row


def _attachments(tenant_id: UUID, subject_id: UUID) -> Iterator[Row]:
    """Yields each file of the chat as a model got it; an image in base64."""
    rows = Attachment.objects.filter(tenant_id=tenant_id, member__subject_id=subject_id)
    for attachment in rows.select_related("member").order_by("created_at").iterator(BATCH):
        yield {
            "id": attachment.id,
            "message": attachment.message_id,
            "name": name_of(attachment),
            "size": attachment.size,
            "created_at": attachment.created_at,
            **_content(attachment),
        }


def _content(attachment: Attachment) -> Row:
    try:
        content = content_of(attachment) if attachment.ciphertext else b""
    except Unreadable:
        content = b""
    if attachment.media_type:
        return {"image": b64encode(content).decode(), "media_type": attachment.media_type}
    return {"text": content.decode()}


def _presets(tenant_id: UUID, subject_id: UUID) -> Iterator[Row]:
    rows = Preset.objects.filter(tenant_id=tenant_id, member__subject_id=subject_id)
    for preset in rows.order_by("created_at"):
        content = readable_preset(preset)
        yield {"id": preset.id, **(to_builtins(content) if content else {})}


def _usage(tenant_id: UUID, subject_id: UUID) -> Iterator[Row]:
    for events in _in_batches(tenant_id, subject_id):
        rows = Usage.objects.filter(completion_id__in=[event.request_id for event in events])
        names = ("completion_id", "model", "prompt_tokens", "completion_tokens", "cached_tokens")
        yield from rows.order_by("created_at").values(*names, "cost", "created_at")


def register_portables() -> None:
    register(Portable("requests", _requests))
    register(Portable("conversations", _conversations))
    register(Portable("attachments", _attachments))
    register(Portable("presets", _presets))
    register(Portable("dialogues", dialogues.exported))
    register(Portable("action_calls", action_calls.exported))
    register(Portable("usage", _usage))
    register(Portable("files", files.files))
    register(Portable("batches", files.batches))
    register(Portable("jobs", jobs.exported))
    register(Portable("data_sets", data_sets.exported))
    register(Portable("evaluations", evaluations.exported))
    register(Portable("responses", stored_responses.exported))
    register(Portable("decisions", decisions.exported))
