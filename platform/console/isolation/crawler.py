"""Calls every address as every caller: in the own tenant, in another one, and with another's ids.

`own` is the caller's tenant, `foreign` somebody else's, and `crossed` an address of the own tenant
with the id of somebody else's object.
"""

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Callable, Container, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID
from zlib import crc32

from asgiref.sync import ThreadSensitiveContext
from channels.db import database_sync_to_async

from console.api.acts import Who
from console.isolation.asgi_client import Answer, AsgiClient
from console.isolation.callers import (
    ANONYMOUS,
    NAMES,
    OPERATOR,
    OPERATOR_KEY,
    ProofCaller,
    callers,
)
from console.isolation.expected import (
    ANYBODY,
    API,
    OPERATORS,
    PAGES,
    PUBLIC,
    SOCKETS,
    V1,
    Endpoint,
    ExpectedPage,
    Need,
    addresses,
)
from console.isolation.throwaway_tenants import Side, Stage
from tenants.models import Member, Scope
from tenants.roles import Permission
from tenants.scope import system_scope

LANES = 2  # requests at a time
OWN, FOREIGN, CROSSED = "own", "foreign", "crossed"
_API = "api/v1/"
_ON_PAGES = Scope.MANAGEMENT_WRITE  # pages accept no key: trying one of them proves it
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
NOBODYS = UUID(int=0)  # the id of nothing: callers who may look get 404
# Parameters that name nothing of a tenant.
PLAIN: dict[str, Any] = {
    "token": "x" * 43,
    "provider_id": "none",
    "tier": "standard",
    "name": "none",
    "check": "row_security",
    "data_class": "audit",
    "number": 1,
    **dict.fromkeys(("session", "pk", "price", "any_event"), 0),
    **dict.fromkeys(
        ("served_model", "pool", "engine", "replacement", "gate", "any_batch", "any_job"), NOBODYS
    ),
    **dict.fromkeys(
        ("own_export", "person_export", "operator_key", "platform_target", "platform_notice"),
        NOBODYS,
    ),
}
IN, OUT = frozenset({200, 201, 204, 302, 303, 400, 409, 410, 422, 428}), frozenset({401})
HIDDEN, DENIED, ANY = frozenset({404}), frozenset({403}), frozenset(range(200, 500))


@dataclass(frozen=True, slots=True)
class Cell:
    path: str
    method: str
    caller: str
    place: str
    status: int
    problem: str  # "" if the answer is as expected

    @property
    def leak(self) -> bool:
        return self.problem.startswith("LEAK")


@dataclass(frozen=True, slots=True)
class Step:
    path: str
    method: str
    caller: ProofCaller
    place: str
    expected: frozenset[int]
    body: bytes = b""
    kind: str = "application/x-www-form-urlencoded"

    @property
    def uses_up(self) -> bool:
        return self.method != "GET" and self.place == OWN


def steps(caller: ProofCaller) -> Iterator[Step]:
    on_pages = caller.scope in (None, _ON_PAGES) and caller.name != OPERATOR_KEY
    for page in PAGES if on_pages else ():
        yield from _page_steps(page, caller)
    for path in API:
        yield from _api_steps(path, caller)
    for endpoint in V1:
        yield from _endpoint_steps(endpoint, caller)


def _page_steps(page: ExpectedPage, caller: ProofCaller) -> Iterator[Step]:
    for method, need in (("GET", page.sees), ("POST", page.acts)):
        if need is None:
            continue
        body = urlencode(page.form).encode() if method == "POST" else b""
        for place in _places(page.path, caller):
            if need == OPERATORS and place == CROSSED and caller.name == OPERATOR:
                continue  # without a tenant in the address operators may see all
            expected = _expected(page.path, need, caller, place)
            if page.once and method == "POST" and expected in (IN, ANY):
                continue
            if page.bare and expected == IN:
                expected |= HIDDEN
            yield Step(page.path, method, caller, place, expected, body)


def _api_steps(path: str, caller: ProofCaller) -> Iterator[Step]:
    view = addresses()[path]
    methods = {m: act for m, act in view.actions.items() if m != "head"}  # added by a request
    for method, act in methods.items():
        need = view.cls.needs[act]
        for place in _places(path, caller):
            operates = caller.name in (OPERATOR, OPERATOR_KEY)
            if operates and need is Who.OPERATOR and place == CROSSED:
                continue  # without a tenant in the address operators may see all
            if caller.name == OPERATOR_KEY:
                allowed = act in view.cls.operator_scopes
                expected = (IN if place == OWN else HIDDEN) if allowed else DENIED
            else:
                expected = _in_api(path, need, caller, place)
            if path.endswith(("/suspend/", "/resume/", "/close/")) and expected == IN:
                continue
            if caller.scope and path.endswith(_NOT_BY_KEYS) and method == "post" and expected == IN:
                expected = DENIED
            nowhere = path.endswith(_PERHAPS_NOTHING) or _NOWHERE & set(_PARAMETER.findall(path))
            if nowhere and expected == IN:
                expected |= HIDDEN
            body, kind = (b"", "") if method == "get" else (b"{}", "application/json")
            yield Step(path, method.upper(), caller, place, expected, body, kind)


_NOWHERE = {"price", "deletion_request"} | {n for n, plain in PLAIN.items() if plain == NOBODYS}
# A file that is kept no more; no challenger; a request of somebody else in the tenant.
_PERHAPS_NOTHING = ("/file/", "/comparison/", "/own-requests/<uuid:completion>/")
# People ask for raises; and the keys here may do more than those that would rotate them.
_NOT_BY_KEYS = ("/raises/", "/rotate/", "/collect/")


def _in_api(path: str, need: Any, caller: ProofCaller, place: str) -> frozenset[int]:
    if caller.name == ANONYMOUS:
        return OUT
    if "<slug:tenant>" in path and (place == FOREIGN or not caller.inside):
        return HIDDEN
    if need is Who.ANYBODY:
        return _of_others(path) if place == CROSSED else IN
    allowed = caller.name == OPERATOR if need is Who.OPERATOR else need in caller.permissions
    return (IN if place == OWN else HIDDEN) if allowed else DENIED


def _of_others(path: str) -> frozenset[int]:
    """Returns the answers where everybody has what is their own.

    Without a tenant in the address, who is in none or in several is asked in which.
    """
    return HIDDEN if "<slug:tenant>" in path else HIDDEN | {400}


def _endpoint_steps(endpoint: Endpoint, caller: ProofCaller) -> Iterator[Step]:
    for place in (OWN, CROSSED) if "<uuid:" in endpoint.path else (OWN,):
        if caller.scope is None:
            expected = OUT
        elif caller.scope not in (endpoint.scope, endpoint.also):
            expected = DENIED
        else:
            expected = frozenset(endpoint.answers) if place == OWN else HIDDEN
        yield Step(endpoint.path, endpoint.method, caller, place, expected)


def _places(path: str, caller: ProofCaller) -> Iterator[str]:
    yield OWN
    if not caller.signed_in and not path.startswith(_API):
        return  # all their requests go to the sign-in
    if "<slug:tenant>" in path and caller.name not in (OPERATOR, OPERATOR_KEY):
        yield FOREIGN
    if set(_PARAMETER.findall(path)) - {"tenant", *PLAIN}:
        yield CROSSED


def _expected(path: str, need: Need, caller: ProofCaller, place: str) -> frozenset[int]:
    if need == PUBLIC:
        return ANY
    if not caller.signed_in:
        return OUT
    if place == FOREIGN:
        return HIDDEN
    if need == ANYBODY:
        return IN
    if need == Permission.CHAT:
        return _in_chat(caller, place)
    if "<slug:tenant>" in path and not caller.inside:
        return HIDDEN
    allowed = caller.name == OPERATOR if need == OPERATORS else need in caller.permissions
    if not allowed:
        return DENIED if place == OWN else DENIED | HIDDEN  # some look for the thing first
    return IN if place == OWN else HIDDEN


def _in_chat(caller: ProofCaller, place: str) -> frozenset[int]:
    """Returns the expected statuses. The chat needs a membership: its addresses name no tenant."""
    chats = caller.member is not None and Permission.CHAT in caller.permissions
    return IN if chats and place == OWN else HIDDEN | DENIED


def parameters(path: str) -> list[tuple[str, str]]:
    """Returns name and pattern of each parameter: ("key", "<uuid:key>")."""
    return [(match[1], match[0]) for match in _PARAMETER.finditer(path)]


@dataclass(frozen=True, slots=True)
class Extent:
    """Extent of the walk: all of it by default."""

    at_home: bool = True  # what people do to their own things too
    part: tuple[int, int] = (0, 1)  # a share of the callers: its number, and how many there are
    only: Container[str] = NAMES  # leaves out all other callers
    residents: Container[str] = NAMES  # all others are sent to the other tenant alone
    walls_only: bool = False  # leaves out what a permission refuses before any wall is reached
    addresses: tuple[int, int] = (0, 1)  # a share of them, as of the callers

    def has(self, step: Step) -> bool:
        number, shares = self.addresses
        if crc32(step.path.encode()) % shares != number:
            return False
        if step.place == OWN:
            resident = step.caller.name in self.residents
            if not resident or (step.uses_up and not self.at_home):
                return False
        return not (self.walls_only and step.expected == DENIED)


class Walk:
    """Calls every address as every caller, and compares the answers with the expected ones."""

    def __init__(self, stage: Stage, client: AsgiClient, extent: Extent) -> None:
        self._stage, self._client, self._extent = stage, client, extent
        self._making = threading.Lock()

    async def cells(self, on_cell: Callable[[Cell], None]) -> list[Cell]:
        """Return the cells by caller, in order. `on_cell` gets each one as it comes."""
        number, parts = self._extent.part
        chosen = [caller for caller in callers(self._stage) if caller.name in self._extent.only]
        share = chosen[number::parts]
        cells_of: dict[str, list[Cell]] = {caller.name: [] for caller in share}
        waiting = iter(share)

        async def router() -> None:
            """Serve callers in a thread of its own, and so with one database connection."""
            async with ThreadSensitiveContext():
                for caller in waiting:
                    async for cell in self._answers(caller):
                        cells_of[caller.name].append(cell)
                        on_cell(cell)

        async with asyncio.TaskGroup() as lanes:
            for _ in range(LANES):
                lanes.create_task(router())
        return [cell for cells in cells_of.values() for cell in cells]

    async def _answers(self, caller: ProofCaller) -> AsyncIterator[Cell]:
        for step in filter(self._extent.has, steps(caller)):
            path = await database_sync_to_async(self._path)(step)
            headers = [*step.caller.headers, (b"content-type", step.kind.encode())]
            answer = await self._client.ask(step.method, path, headers, step.body)
            status = 401 if _to_sign_in(answer) else answer.status
            problem = self._problem(step, status, answer)
            route = "/" + step.path.lstrip("/")
            yield Cell(route, step.method, step.caller.name, step.place, status, problem)
        for address in SOCKETS:
            for place in (OWN, FOREIGN):
                yield await self._socket(address, caller, place)

    async def _socket(self, address: str, caller: ProofCaller, place: str) -> Cell:
        side = self._stage.own if place == OWN else self._stage.other
        path = f"/{address}?tenant={side.tenant.name}"
        messages = await self._client.connect(path, caller.headers)
        accepted = messages[0]["type"] == "websocket.accept"
        chats = caller.member is not None and Permission.CHAT in caller.permissions
        problem = "" if accepted == (chats and place == OWN) else "not as its role says"
        if accepted and place == FOREIGN:
            problem = "LEAK: a socket into another tenant"
        return Cell(f"/{address}", "WS", caller.name, place, 101 if accepted else 403, problem)

    def _problem(self, step: Step, status: int, answer: Answer) -> str:
        body = answer.body.decode("utf-8", "replace")
        if step.caller.name != OPERATOR and self._leaks(body):
            return "LEAK: it says what belongs to another tenant"
        if status in step.expected:
            return ""
        if step.place != OWN and status < 400:
            return f"LEAK: {status} in another tenant"
        return f"{status} instead of {_shown(step.expected)}"

    def _leaks(self, text: str) -> bool:
        """Returns whether the text names the other tenant, but for the address that was called."""
        name = self._stage.other.tenant.name
        for folder in ("tenants", "t"):
            text = text.replace(f"/{folder}/{name}/", "")
        return self._stage.other.secret in text or name in text

    def _path(self, step: Step) -> str:
        """Fill the parameters in. One at a time: the objects of one address belong together."""
        with self._making, system_scope():
            for side in (self._stage.own, self._stage.other):
                side.objects.begin_address()
            return "/" + _PARAMETER.sub(lambda m: self._value(m[1], step), step.path).lstrip("/")

    def _value(self, name: str, step: Step) -> str:
        home = self._stage.other if step.place == FOREIGN else self._stage.own
        side = self._stage.other if step.place in (FOREIGN, CROSSED) else self._stage.own
        if name == "tenant":
            return home.tenant.name
        if name == "conversation":
            return str(side.objects.conversation(_chatting(side, step)))
        if name in ("folder", "share", "message", "attachment", "preset"):
            return str(getattr(side.objects, name)(_chatting(side, step)))
        if name == "upload":
            return str(_upload(side, step))
        if name in side.objects.kinds:
            objects = side.objects
            return str(objects.fresh(name) if step.uses_up else objects.standing(name))
        return str(PLAIN[name])


def _chatting(side: Side, step: Step) -> Member:
    """Returns the caller, if they chat here, else another member who does."""
    member = step.caller.member if step.place == OWN else None
    chatting = member and Permission.CHAT in step.caller.permissions
    return member if member and chatting else side.chatting


def _upload(side: Side, step: Step) -> Any:
    """Return an upload of the caller's own: nobody else may add to it."""
    member = step.caller.member if step.place == OWN else None
    return side.objects.upload(member or side.chatting)


def _to_sign_in(answer: Answer) -> bool:
    return answer.status == 302 and answer.headers.get("location", "").startswith("/login/")


def _shown(expected: frozenset[int]) -> str:
    return "/".join(map(str, sorted(expected))) if len(expected) < 4 else "an answer"
