"""A request that names a prompt template, `"name"` or `"name@3"`, instead of writing its prompt.

Templates are remembered as callers are (tenants/authentication/authenticator.py), and forgotten by
the same news: a request asks the database only for one that is not known, or has been changed.
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
from inference.errors import BadRequest, NotFound
from inference.intake.errors import OutOfService
from inference.models.prompt_template import NAME, PromptTemplateVersion
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
            return Prompt(
                str(version), version.content.filled(given or {}, settings.MAX_BODY_BYTES)
            )
        except WrongVariable as wrong:
            param = f"variables.{wrong.name}"
            raise BadRequest(wrong.message, code="invalid_variable", param=param) from None

    async def _version(self, key: Key) -> Version:
        if known := self._remembered(key):
            return known
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
        if known is None:
            return None
        now, asked_at = asyncio.get_running_loop().time(), known.asked_at
        if now >= asked_at + REMEMBERED_S or self._changes.touched(key[0], asked_at):
            return None
        if now < asked_at + CACHE_S or self._changes.all_heard(asked_at, now):
            self._known.move_to_end(key)
            return known
        return None

    async def _read(self, key: Key) -> Version:
        asked_at = asyncio.get_running_loop().time()
        try:
            name, number, content = await _read(key)
        except (DatabaseError, MasterKeyUnavailable, Unreadable) as problem:
            raise OutOfService(str(problem)) from None
        self._known[key] = version = Version(name, number, content, asked_at)
        self._known.move_to_end(key)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return version


def _key(caller: Caller, reference: Any) -> Key:
    found = _REFERENCE.fullmatch(reference) if isinstance(reference, str) else None
    if found is None:
        what = '`template` must be the name of a template, as "name" or "name@3"'
        raise BadRequest(what, param=FIELD)
    return caller.tenant_id, found[1], int(found[2] or 0)


@database_sync_to_async
def _read(key: Key) -> tuple[str, int, Content]:
    """Raises NotFound, Unreadable, MasterKeyUnavailable."""
    tenant_id, name, number = key
    with tenant_scope(tenant_id):
        rows = PromptTemplateVersion.objects.filter(tenant_id=tenant_id, template__name=name)
        rows = rows.filter(number=number) if number else rows.order_by("-number")
        version = rows.first()
        if version is None:
            what = f"version {number} of the template `{name}`" if number else f"template `{name}`"
            raise NotFound(f"there is no {what}", code="template_not_found", param=FIELD)
        return name, version.number, version.content
