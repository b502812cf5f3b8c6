"""Rows of a tenant's own recorded conversations: chats of people, and requests of keys.

The texts are those of the audit trail: a row is the last request of a chat with its answer, or one
request of a key. People who are erased, or whose data is restricted, are left out.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import orjson
from django.db.models import QuerySet

from audit.actions import Action
from audit.keys.keyring import Unreadable, keyring
from audit.models import Event, Payload
from audit.search import texts
from inference.data_sets.rows import Row
from inference.models import Author, Conversation, Message
from inference.order import unpacked
from inference.reasoning import Said, parted
from tenants.authentication.restriction import is_restricted
from tenants.scope import tenant_scope

CHATS, REQUESTS = "chats", "requests"
ORIGINS = (CHATS, REQUESTS)
AT_ONCE = 100  # conversations at most that are read in one transaction
_ROLES = ("system", "developer", "user", "assistant")
Passed = Callable[[list[UUID]], list[UUID]]


class Selection(NamedTuple):
    """A choice of recorded conversations. The model "" is every model."""

    origins: tuple[str, ...]
    since: datetime
    until: datetime
    model: str = ""

    def as_json(self) -> dict[str, Any]:
        moments = {"since": self.since.isoformat(), "until": self.until.isoformat()}
        return {"origins": list(self.origins), "model": self.model, **moments}

    @classmethod
    def of_json(cls, fields: dict[str, Any]) -> "Selection":
        since, until = (datetime.fromisoformat(fields[name]) for name in ("since", "until"))
        return cls(tuple(fields["origins"]), since, until, fields["model"])


def rows(tenant_id: UUID, selection: Selection, passed: Passed) -> Iterator[Row]:
    """Yields a row for each conversation that ended well and can be read.

    `passed` gets each portion of requests, also one without such a conversation.
    """
    for origin, requests in ((CHATS, _of_chats), (REQUESTS, _of_keys)):
        if origin in selection.origins:
            with tenant_scope(tenant_id):
                ids = requests(tenant_id, selection)
            for portion in map(passed, _portions(tenant_id, ids)):
                with tenant_scope(tenant_id):
                    readable = list(_readable(tenant_id, portion))
                yield from readable


def _of_chats(tenant_id: UUID, selection: Selection) -> list[UUID]:
    """Returns the last answered request of each chat, but for summaries and parts of answers."""
    period = selection.since, selection.until
    lasting = Conversation.objects.filter(tenant_id=tenant_id, temporary=False)
    chats = lasting.filter(updated_at__range=period)
    if selection.model:
        chats = chats.filter(model=selection.model)
    answers = Message.objects.filter(conversation__in=chats, author=Author.ASSISTANT)
    answered = answers.exclude(ciphertext=None).exclude(completion_id=None)
    answered = answered.exclude(is_summary=True).exclude(parent__author=Author.ASSISTANT)
    latest = answered.order_by("conversation_id", "-created_at").distinct("conversation_id")
    return [pk for pk in latest.values_list("completion_id", flat=True) if pk]


def _of_keys(tenant_id: UUID, selection: Selection) -> list[UUID]:
    period = selection.since, selection.until
    received = Event.objects.filter(tenant_id=tenant_id, action=Action.COMPLETION_RECEIVED)
    of_keys = received.filter(at__range=period).exclude(api_key_id=None)
    if selection.model:
        of_keys = of_keys.filter(model=selection.model)
    ids = of_keys.order_by("at", "id").values_list("request_id", flat=True)
    return [pk for pk in ids if pk]


def _portions(tenant_id: UUID, ids: list[UUID]) -> Iterator[list[UUID]]:
    """Yields the requests some at a time, whose texts fit into the memory together."""
    for start in range(0, len(ids), AT_ONCE):
        with tenant_scope(tenant_id):
            portions = list(texts.portions(ids[start : start + AT_ONCE], lambda pk: pk))
        yield from portions


def _readable(tenant_id: UUID, ids: list[UUID]) -> Iterator[Row]:
    subjects = _subjects(tenant_id, ids)
    payloads: dict[UUID, dict[str, Payload]] = {}
    for payload in Payload.objects.filter(tenant_id=tenant_id, request_id__in=list(subjects)):
        payloads.setdefault(payload.request_id, {})[payload.field] = payload
    for request_id in ids:
        fields = payloads.get(request_id, {})
        if {"request", "response"} <= fields.keys():
            messages = _messages(fields["request"], fields["response"])
            if messages:
                yield Row(subjects[request_id], orjson.dumps({"messages": messages}))


def _subjects(tenant_id: UUID, ids: list[UUID]) -> dict[UUID, UUID]:
    """Returns the person of each request that ended well."""
    events: QuerySet[Event] = Event.objects.filter(tenant_id=tenant_id, request_id__in=ids)
    ended = events.filter(action=Action.COMPLETION_COMPLETED, success=True)
    pairs = list(ended.values_list("request_id", "subject_id"))
    # Their keys do not open either; a process may have one of them still.
    people = {subject for _request, subject in pairs if subject}
    barred = {subject for subject in people if is_restricted(tenant_id, subject)}
    return {
        request_id: subject
        for request_id, subject in pairs
        if request_id and subject and subject not in barred
    }


def _messages(request: Payload, response: Payload) -> list[dict[str, str]]:
    """Returns the turns of a chat; none for other requests, and for texts that are unreadable."""
    try:
        body = orjson.loads(unpacked(_clear(request)).body)
        answer = answer_text(_clear(response))
    except (Unreadable, msgspec.MsgspecError, ValueError):
        return []
    turns = body.get("messages") if isinstance(body, dict) else None
    if not turns or not answer.strip() or not all(map(_is_plain, turns)):
        return []
    messages = [{"role": one["role"], "content": one["content"]} for one in turns]
    return [*messages, {"role": "assistant", "content": answer}]


def _is_plain(turn: Any) -> bool:
    return turn.get("role") in _ROLES and isinstance(turn.get("content"), str)


def answer_text(clear: bytes) -> str:
    """Returns the words of a stored answer: a text, or the engine's JSON; without its reasoning."""
    text = clear.decode(errors="replace")
    if text.startswith("{"):
        try:
            message = orjson.loads(clear)["choices"][0]["message"]
            text = message["content"] or ""
        except (ValueError, LookupError, TypeError):
            pass  # an answer that is JSON itself
    return parted(Said(text)).text


def _clear(payload: Payload) -> bytes:
    bound_to = texts.aad(payload.tenant_id, payload.request_id, payload.field)
    return keyring.by_id_now(payload.data_key_id).decrypt(bytes(payload.ciphertext), bound_to)
