"""The endpoints of dialogues."""

from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

from django.db import transaction

from inference.api.dialogues import callers, fields, objects, turns
from inference.api.dialogues.callers import Party, party_of
from inference.api.dialogues.feed import SHOWN, Cursor, Feed
from inference.api.dialogues.objects import Json
from inference.api.dialogues.sending import send_events
from inference.api.http.request import Request
from inference.dialogues import receiving, versions
from inference.dialogues.scoped import in_tenant, read_in_tenant
from inference.errors import BadRequest, NotFound
from inference.models import Dialogue
from inference.validation import requests

PAGE, MOST = 50, 200  # messages of a page
NOBODYS = UUID(int=0)  # a turn that is over: a human has the dialogue
EVENTS = "text/event-stream"


async def create(request: Request) -> None:
    """`{assistant, person, language}`; a visitor's token has assistant and person."""
    party = await party_of(request)
    await callers.count_request(request, party)
    body = await _body(request)
    fields.check(body, fields.BEGINNING_OF_VISITORS if party.visitor else fields.BEGINNING)
    begun = await in_tenant(party.caller.tenant_id, _begin, party, body)
    await request.answer_json(begun)


def _begin(party: Party, body: Json) -> Json:
    caller, visitor = party.caller, party.visitor
    with transaction.atomic():
        reference = body.get("person", "")
        person = visitor.person() if visitor else receiving.person_of(caller.tenant_id, reference)
        name = visitor.key.assistant_id if visitor else body["assistant"]
        version = versions.serving(caller.tenant_id, name, person.pk)
        if version is None:
            text = "there is no such assistant, or none of its versions serves"
            raise NotFound(text, code="assistant_not_found", param="assistant")
        language = body.get("language") or ""
        key = visitor.key if visitor else None
        dialogue = receiving.begin(caller, version, person, language, key)
    shown = objects.dialogue_of(dialogue)
    return {**shown, "greeting": [objects.message_of(m) for m in dialogue.messages.all()]}


async def retrieve(request: Request, public_id: str) -> None:
    party = await _looking(request)
    dialogue = await callers.dialogue_of(request.call, party, public_id)
    await request.answer_json(objects.dialogue_of(dialogue))


async def messages(request: Request, public_id: str) -> None:
    """List the messages; with `Accept: text/event-stream`, or Last-Event-ID, follow them."""
    party = await _looking(request)
    dialogue = await callers.dialogue_of(request.call, party, public_id)
    last = request.header(b"last-event-id")
    if last or EVENTS in request.header(b"accept"):
        with callers.counted_reader(request.call, dialogue):
            return await send_events(request, Feed(dialogue, Cursor.parsed(last)))
    after, limit = _page(request)
    await request.answer_json(
        await read_in_tenant(dialogue.tenant_id, _listed, dialogue, after, limit)
    )
    return None


def _listed(dialogue: Dialogue, after: int, limit: int) -> Json:
    rows = dialogue.messages.filter(role__in=SHOWN, number__gt=after).order_by("number")
    page = list(rows[: limit + 1])
    data = [objects.message_of(message) for message in page[:limit]]
    return {"object": "list", "data": data, "has_more": len(page) > limit}


def _page(request: Request) -> tuple[int, int]:
    """Returns the number after which the page begins, and its length. Raises BadRequest."""
    query = parse_qs(request.query.decode("latin-1"))
    after, limit = query.get("after", ["0"])[-1], query.get("limit", [str(PAGE)])[-1]
    if not (after.isdecimal() and len(after) < 10):
        raise BadRequest("`after` must be the number of a message", param="after")
    if not (limit.isdecimal() and len(limit) < 10 and 1 <= int(limit) <= MOST):
        raise BadRequest(f"`limit` must be a number from 1 to {MOST}", param="limit")
    return int(after), int(limit)


async def send(request: Request, public_id: str) -> None:
    """Take a message, and answer with the turn: whole, or as events with `stream`."""
    party = await party_of(request)
    dialogue = await callers.dialogue_of(request.call, party, public_id)
    await callers.count_request(request, party)
    body = await _body(request)
    fields.check(body, fields.MESSAGE)
    text, client_id = receiving.checked_text(body["text"]), _uuid(body.get("id"))
    received = await in_tenant(
        dialogue.tenant_id, receiving.receive, dialogue, text, client_id, by=party.actor
    )
    turns.start(request.call.context, received)
    if body.get("stream"):
        cursor = Cursor.parsed(request.header(b"last-event-id") or str(received.message.number))
        with callers.counted_reader(request.call, dialogue):
            turn_id = received.turn.pk if received.turn else NOBODYS
            return await send_events(request, Feed(dialogue, cursor, turn_id))
    await request.answer_json(await turns.outcome(dialogue, received))
    return None


async def close(request: Request, public_id: str) -> None:
    party = await _looking(request)
    if party.visitor:
        await callers.count_visitor(request.call)
    dialogue = await callers.dialogue_of(request.call, party, public_id)
    body = await _body(request, may_lack=True)
    fields.check(body, fields.CLOSING)
    opinion: dict[str, Any] = {
        "satisfaction": body.get("satisfaction"),
        "was_resolved": body.get("resolved"),
    }
    shown = await in_tenant(dialogue.tenant_id, _close, dialogue, party.actor, opinion)
    await request.answer_json(shown)


def _close(dialogue: Dialogue, by: str, opinion: dict[str, Any]) -> Json:
    receiving.close(dialogue, by=by, **opinion)
    return objects.dialogue_of(dialogue)


# Shared ------------------------------------------------------------------------------------------
async def _looking(request: Request) -> Party:
    party = await party_of(request)
    if party.visitor:
        await callers.count_look(request.call)
    await request.call.add_limit_headers(party.caller)
    return party


async def _body(request: Request, *, may_lack: bool = False) -> Json:
    raw = await request.body()
    try:
        return requests.parsed(raw) if raw or not may_lack else {}
    finally:
        request.call.release_body()


def _uuid(text: str | None) -> UUID | None:
    return UUID(text) if text else None
