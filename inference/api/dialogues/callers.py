"""Callers: a program with an API key, or a visitor with a widget's token."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID, uuid4

from django.conf import settings

from inference.api.call import Call
from inference.api.dialogues import visitors
from inference.api.dialogues.visitors import Visitor
from inference.api.http import callers as keyed
from inference.api.http.request import Request
from inference.api.ownership import readable
from inference.dialogues.callers import NoCaller, of_digest
from inference.dialogues.scoped import read_in_tenant
from inference.errors import Forbidden, NotFound, Unauthorized, Unavailable
from inference.intake.limits.concurrency import EVERYBODY
from inference.intake.refusals import not_admitted
from inference.models import Dialogue
from infrastructure.postgres.request_threads import in_request_thread
from tenants.caller import Caller
from tenants.rate_limits.admission import Ask
from tenants.rate_limits.client_address import counted

READERS_OF_DIALOGUE, READERS_OF_TENANT = 8, 1_000  # streams of one process
LOOKS = 10  # of a visitor for each message: each asks PostgreSQL, and a lost stream is begun anew


@dataclass(frozen=True, slots=True)
class Party:
    """The caller, and the visitor for whom a widget asks."""

    caller: Caller
    visitor: Visitor | None = None

    @property
    def actor(self) -> str:
        return f"widget_key:{self.visitor.key.pk}" if self.visitor else self.caller.actor

    def own(self, pk: UUID) -> Dialogue | None:
        """Returns a dialogue of the party, in the tenant's scope."""
        rows = Dialogue.objects.select_related("person", "tenant", "api_key")
        if self.visitor is None:
            return readable(rows, self.caller).filter(pk=pk).first()
        if (person := self.visitor.known_person()) is None:
            return None
        mine = rows.filter(tenant_id=self.caller.tenant_id, widget_key=self.visitor.key)
        return mine.filter(pk=pk, person=person).first()


async def party_of(request: Request) -> Party:
    """Raises ApiError, NotAllowed, NotAdmitted."""
    token = bearer(request)
    if not token.startswith(visitors.PREFIX):
        return Party(await keyed.caller_of(request))
    return await visiting(request.call, token, request.origin)


def bearer(request: Request) -> str:
    scheme, _, token = request.header(b"authorization").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


async def visiting(call: Call, token: str, origin: str) -> Party:
    """Returns the party of a visitor's token. Raises Unauthorized, Forbidden, OutOfService."""
    visitor = await in_request_thread(visitors.of_token)(token, origin)
    return Party(await caller_for(call, visitor), visitor)


async def caller_for(call: Call, visitor: Visitor) -> Caller:
    """Returns the caller of the widget's API key. Raises Unauthorized, Forbidden, OutOfService."""
    assert visitor.key.api_key
    try:
        caller = await of_digest(call.context, bytes(visitor.key.api_key.digest))
    except NoCaller as gone:
        if gone.code == "tenant_closed":
            raise Forbidden("this tenant is closed", code=gone.code) from None
        raise Unauthorized("the API key of this widget is gone", code=gone.code) from None
    call.caller, call.counted.tenant_id = caller, caller.tenant_id
    return caller


async def count_visitor(call: Call) -> None:
    """Count the address of a visitor who begins, sends or ends something. Raises NotAdmitted."""
    await _count_address(call, "widget", settings.WIDGET_PER_MINUTE)


async def count_look(call: Call) -> None:
    """Count the address of a visitor who reads, apart from what it sends. Raises NotAdmitted."""
    await _count_address(call, "widget:reads", LOOKS * settings.WIDGET_PER_MINUTE)


async def _count_address(call: Call, name: str, per_minute: int) -> None:
    address = counted(call.client_ip)
    if not (address and per_minute):
        return
    ask = Ask(str(uuid4()), f"{name}:{address}", per_minute)
    admission, _counted_at = await call.context.limits.rate.admit(ask)
    if admission.tier:
        raise not_admitted(call.context, admission, call.caller, call.route, call.client_ip)


async def count_request(request: Request, party: Party) -> None:
    """Count a request of the address, the key and the tenant. Raises NotAdmitted."""
    if party.visitor:
        await count_visitor(request.call)
    await request.call.count_request(party.caller)


async def dialogue_of(call: Call, party: Party, public_id: str) -> Dialogue:
    """Raises NotFound, and records an attempt at another's."""
    pk = parsed_id(public_id)
    row = await read_in_tenant(party.caller.tenant_id, party.own, pk) if pk else None
    if row is None:
        if pk:
            call.denied(404, "dialogue_not_found")
        raise NotFound("there is no such dialogue", code="dialogue_not_found")
    return row


def parsed_id(text: str) -> UUID | None:
    try:
        return UUID(text.removeprefix("dlg_")) if text.startswith("dlg_") else None
    except ValueError:
        return None


@contextmanager
def counted_reader(call: Call, dialogue: Dialogue) -> Iterator[None]:
    """Count as a reader of the dialogue and the tenant. Raises Unavailable."""
    readers = call.context.limits.readers
    names = ("dialogue", dialogue.pk), ("dialogues", dialogue.tenant_id)
    most = READERS_OF_DIALOGUE, READERS_OF_TENANT
    full = readers.enter(*zip(names, most, strict=True))
    if full is not None:
        where = "here" if full == EVERYBODY else "of this dialogue or tenant"
        raise Unavailable(f"too many streams {where} are read; try again", retry_after=2)
    try:
        yield
    finally:
        readers.leave(*names)
