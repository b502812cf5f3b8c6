"""Fills the prompt template that a request names, `"name"` or `"name@3"`, instead of a prompt.

Templates are cached like callers (tenants/authentication/authenticator.py), and dropped by the same
notifications: a request queries the database only for an unknown or changed one. So are the names
of a tenant's templates, so that wrong names cost no query.
"""

import asyncio
import re
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError

from audit.keys.keyring import Unreadable
from audit.keys.master_keys.errors import MasterKeyUnavailable
from inference.engines import engines_of
from inference.errors import BadRequest, NotFound
from inference.intake.errors import OutOfService
from inference.models.prompt_template import NAME, PromptTemplate, PromptTemplateVersion
from inference.templating.content import Content
from inference.templating.variables import WrongVariable
from inference.validation.schemas import Body
from infrastructure.postgres.request_threads import in_request_thread
from tenants.authentication.authenticator import CACHE_S, REMEMBERED_S
from tenants.authentication.invalidation import Changes
from tenants.caller import Caller
from tenants.scope import read_in_tenant_scope

FIELD = "template"
REMEMBERED = 1_000
_REFERENCE = re.compile(f"({NAME})(?:@([1-9][0-9]{{0,5}}))?")
Key = tuple[UUID, str, int]  # tenant, name, version; 0: the latest


@dataclass(frozen=True, slots=True)
class Version:
    name: str
    number: int
    content: Content
    read_at: float  # the event loop's time

    def __str__(self) -> str:
        return f"{self.name}@{self.number}"


@dataclass(frozen=True, slots=True)
class TemplateNames:
    """The names of a tenant's templates, each with its latest version."""

    latest: dict[str, int]
    read_at: float  # the event loop's time

    def has(self, key: Key) -> bool:
        return key[2] <= self.latest.get(key[1], -1)


@dataclass(frozen=True, slots=True)
class FilledTemplate:
    """A template, filled with a request's variables."""

    version: str  # "name@3"
    fields: Body

    def put_into(self, body: Body) -> Body:
        """Returns the body with the prompt; its own messages come last. Raises BadRequest."""
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
        self._versions: OrderedDict[Key, Version] = OrderedDict()
        self._names: OrderedDict[UUID, TemplateNames] = (
            OrderedDict()
        )  # of tenants that named an unknown one
        self._queries: dict[Key, asyncio.Task[Version]] = {}

    async def prompt(self, caller: Caller, body: Body, *, chat: bool) -> FilledTemplate:
        """Returns the prompt of a body that names a template.

        Raises BadRequest, NotFound, OutOfService.
        """
        variables = body.get("variables")
        if variables is not None and not isinstance(variables, dict):
            raise BadRequest("`variables` must be an object", param="variables")
        version = await self._version(_key(caller, body[FIELD]))
        if version.content.is_chat != chat:
            what = "chat completions" if version.content.is_chat else "completions"
            raise BadRequest(f"the template `{version.name}` is one for {what}", param=FIELD)
        try:
            fields = version.content.filled(variables or {}, settings.MAX_BODY_BYTES, _tokens(body))
            return FilledTemplate(str(version), fields)
        except WrongVariable as wrong:
            param = f"variables.{wrong.name}"
            raise BadRequest(wrong.message, code="invalid_variable", param=param) from None

    async def _version(self, key: Key) -> Version:
        if version := self._remembered(key):
            return version
        names = self._names.get(key[0])
        if names and not names.has(key) and self._is_current(key[0], names.read_at):
            raise _no_such(key)
        if (query := self._queries.get(key)) is None:
            query = self._queries[key] = asyncio.create_task(self._read(key))
            query.add_done_callback(lambda task: self._end_query(key, task))
        return await asyncio.shield(query)

    def _end_query(self, key: Key, task: asyncio.Task[Version]) -> None:
        self._queries.pop(key, None)
        if not task.cancelled():
            task.exception()  # those that wait get it

    def _remembered(self, key: Key) -> Version | None:
        version = self._versions.get(key)
        if version is None or not self._is_current(key[0], version.read_at):
            return None
        self._versions.move_to_end(key)
        return version

    def _is_current(self, tenant_id: UUID, read_at: float) -> bool:
        now = asyncio.get_running_loop().time()
        if now >= read_at + REMEMBERED_S or self._changes.touched(tenant_id, read_at):
            return False
        return now < read_at + CACHE_S or self._changes.all_heard(read_at, now)

    async def _read(self, key: Key) -> Version:
        read_at = asyncio.get_running_loop().time()
        try:
            row = await _read(key)
            if row is None:
                self._keep(self._names, key[0], TemplateNames(await _read_names(key[0]), read_at))
                raise _no_such(key)
        except (DatabaseError, MasterKeyUnavailable, Unreadable) as problem:
            raise OutOfService(str(problem)) from None
        version = Version(*row, read_at)
        self._keep(self._versions, key, version)
        return version

    @staticmethod
    def _keep(cache: "OrderedDict[Any, Any]", key: Any, value: Any) -> None:
        cache[key] = value
        cache.move_to_end(key)
        if len(cache) > REMEMBERED:
            cache.popitem(last=False)


def _tokens(body: Body) -> set[str]:
    model = body.get("model")
    engines = engines_of(model) if isinstance(model, str) else []
    return {token for engine in engines for token in engine.control_tokens}


def _key(caller: Caller, reference: Any) -> Key:
    match = _REFERENCE.fullmatch(reference) if isinstance(reference, str) else None
    if match is None:
        what = '`template` must be the name of a template, as "name" or "name@3"'
        raise BadRequest(what, param=FIELD)
    return caller.tenant_id, match[1], int(match[2] or 0)


def _no_such(key: Key) -> NotFound:
    _, name, number = key
    what = f"version {number} of the template `{name}`" if number else f"template `{name}`"
    return NotFound(f"there is no {what}", code="template_not_found", param=FIELD)


@in_request_thread
def _read(key: Key) -> tuple[str, int, Content] | None:
    """Returns name, number and content. Raises Unreadable, MasterKeyUnavailable."""
    return read_in_tenant_scope(key[0], partial(_read_in_scope, key))


def _read_in_scope(key: Key) -> tuple[str, int, Content] | None:
    tenant_id, name, number = key
    rows = PromptTemplateVersion.objects.filter(tenant_id=tenant_id, template__name=name)
    rows = rows.filter(number=number) if number else rows.order_by("-number")
    version = rows.first()
    return (name, version.number, version.content) if version else None


@in_request_thread
def _read_names(tenant_id: UUID) -> dict[str, int]:
    templates = PromptTemplate.objects.filter(tenant_id=tenant_id).values_list("name", "latest")
    return read_in_tenant_scope(tenant_id, lambda: dict(templates.all()))
