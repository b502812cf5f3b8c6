"""A request that names a prompt template, `"name"` or `"name@3"`, instead of writing its prompt.

Templates are remembered as callers are (tenants/authentication/authenticator.py), and forgotten by
the same news: a request asks the database only for one that is not known, or has been changed. So
are the names that a tenant has: who tries others asks it for nothing.
"""

import asyncio
import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async
from django.conf import settings
from django.db import DatabaseError

from audit.keys.keyring import Unreadable
from audit.keys.master_keys import MasterKeyUnavailable
from inference.engines import engines_of
from inference.errors import BadRequest, NotFound
from inference.intake.errors import OutOfService
from inference.models.prompt_template import NAME, PromptTemplate, PromptTemplateVersion
from inference.templating.content import Content
from inference.templating.variables import WrongVariable
from inference.validation.schemas import Body
from tenants.authentication.authenticator import CACHE_S, REMEMBERED_S
from tenants.authentication.invalidation import Changes
from tenants.caller import Caller
from tenants.scope import tenant_scope

FIELD = "template"
REMEMBERED = 1_000
_REFERENCE = re.compile(f"({NAME})(?:@([1-9][0-9]{{0,5}}))?")
Key = tuple[UUID, str, int]  # tenant, name, version; 0: the latest


@dataclass(frozen=True, slots=True)
class Version:
    name: str
    number: int
    content: Content
    asked_at: float  # the event loop's time

    def __str__(self) -> str:
        return f"{self.name}@{self.number}"


@dataclass(frozen=True, slots=True)
class Names:
    """Of all templates of a tenant, each with the number of its latest version."""

    latest: dict[str, int]
    asked_at: float  # the event loop's time

    def has(self, key: Key) -> bool:
        return key[2] <= self.latest.get(key[1], -1)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A template, filled with a request's variables."""

    version: str  # "name@3"
    fields: Body

    def put_into(self, body: Body) -> Body:
        """Messages of the body's own follow those of the template. Raises BadRequest."""
        rest = {name: body[name] for name in body if name not in (FIELD, "variables")}
        own = rest.get("messages")
        if "prompt" in self.fields and rest.get("prompt") is not None:
            raise BadRequest("send either `template` or `prompt`", param="prompt")
        if own is not None and not isinstance(own, list):
            raise BadRequest("`messages` must be a list", param="messages")
        fields = dict(self.fields)
        if own and "messages" in fields:
            fields["messages"] = [*fields["messages"], *own]
        return rest | fields


class PromptTemplates:
    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._known: OrderedDict[Key, Version] = OrderedDict()
        self._names: OrderedDict[UUID, Names] = OrderedDict()  # of tenants that asked for others
        self._reading: dict[Key, asyncio.Task[Version]] = {}

    async def prompt(self, caller: Caller, body: Body, *, chat: bool) -> Prompt:
        """Of a body that names a template. Raises BadRequest, NotFound, OutOfService."""
        given = body.get("variables")
        if given is not None and not isinstance(given, dict):
            raise BadRequest("`variables` must be an object", param="variables")
        version = await self._version(_key(caller, body[FIELD]))
        if version.content.is_chat != chat:
            what = "chat completions" if version.content.is_chat else "completions"
            raise BadRequest(f"the template `{version.name}` is one for {what}", param=FIELD)
        try:
            fields = version.content.filled(given or {}, settings.MAX_BODY_BYTES, _tokens(body))
            return Prompt(str(version), fields)
        except WrongVariable as wrong:
            param = f"variables.{wrong.name}"
            raise BadRequest(wrong.message, code="invalid_variable", param=param) from None

    async def _version(self, key: Key) -> Version:
        if known := self._remembered(key):
            return known
        names = self._names.get(key[0])
        if names and not names.has(key) and self._holds(key[0], names.asked_at):
            raise _no_such(key)
        if (reading := self._reading.get(key)) is None:
            reading = self._reading[key] = asyncio.create_task(self._read(key))
            reading.add_done_callback(lambda done: self._has_read(key, done))
        return await asyncio.shield(reading)

    def _has_read(self, key: Key, done: asyncio.Task[Version]) -> None:
        self._reading.pop(key, None)
        if not done.cancelled():
            done.exception()  # whoever asked has it, if anybody is still there

    def _remembered(self, key: Key) -> Version | None:
        known = self._known.get(key)
        if known is None or not self._holds(key[0], known.asked_at):
            return None
        self._known.move_to_end(key)
        return known

    def _holds(self, tenant_id: UUID, asked_at: float) -> bool:
        """Whether what the database said then is true still."""
        now = asyncio.get_running_loop().time()
        if now >= asked_at + REMEMBERED_S or self._changes.touched(tenant_id, asked_at):
            return False
        return now < asked_at + CACHE_S or self._changes.all_heard(asked_at, now)

    async def _read(self, key: Key) -> Version:
        asked_at = asyncio.get_running_loop().time()
        try:
            found = await _read(key)
            if found is None:
                self._keep(self._names, key[0], Names(await _read_names(key[0]), asked_at))
                raise _no_such(key)
        except (DatabaseError, MasterKeyUnavailable, Unreadable) as problem:
            raise OutOfService(str(problem)) from None
        version = Version(*found, asked_at)
        self._keep(self._known, key, version)
        return version

    @staticmethod
    def _keep(known: "OrderedDict[Any, Any]", key: Any, found: Any) -> None:
        known[key] = found
        known.move_to_end(key)
        if len(known) > REMEMBERED:
            known.popitem(last=False)


def _tokens(body: Body) -> set[str]:
    """The control tokens of all engines that may serve the request, as they say themselves."""
    model = body.get("model")
    engines = engines_of(model) if isinstance(model, str) else []
    return {token for engine in engines for token in engine.control_tokens}


def _key(caller: Caller, reference: Any) -> Key:
    found = _REFERENCE.fullmatch(reference) if isinstance(reference, str) else None
    if found is None:
        what = '`template` must be the name of a template, as "name" or "name@3"'
        raise BadRequest(what, param=FIELD)
    return caller.tenant_id, found[1], int(found[2] or 0)


def _no_such(key: Key) -> NotFound:
    _, name, number = key
    what = f"version {number} of the template `{name}`" if number else f"template `{name}`"
    return NotFound(f"there is no {what}", code="template_not_found", param=FIELD)


@database_sync_to_async
def _read(key: Key) -> tuple[str, int, Content] | None:
    """Raises Unreadable, MasterKeyUnavailable."""
    tenant_id, name, number = key
    with tenant_scope(tenant_id):
        rows = PromptTemplateVersion.objects.filter(tenant_id=tenant_id, template__name=name)
        rows = rows.filter(number=number) if number else rows.order_by("-number")
        version = rows.first()
        return (name, version.number, version.content) if version else None


@database_sync_to_async
def _read_names(tenant_id: UUID) -> dict[str, int]:
    with tenant_scope(tenant_id):
        found = PromptTemplate.objects.filter(tenant_id=tenant_id)
        return dict(found.values_list("name", "latest"))
