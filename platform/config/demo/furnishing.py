"""Knowledge bases, actions and assistants that a program makes, approves and lets serve.

What is there already stays: a second run changes nothing that is the same.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

import msgspec
from django.core.exceptions import ValidationError
from django.db.models import QuerySet

from config.demo.http_api import Unready
from inference.actions import definitions
from inference.api.assistants import writing
from inference.assistants.faults import WrongSpec
from inference.assistants.spec import AssistantSpec
from inference.knowledge import creating, uploading
from inference.knowledge.vectors import NoVectors
from inference.models import (
    Assistant,
    AssistantVersion,
    Document,
    DocumentState,
    KnowledgeBase,
)
from inference.models.assistants.assistant_version import BuildState
from tenants.models import ApiKey, Tenant

PATIENCE_S, LOOK_EVERY_S = 300.0, 0.5
_UNDER_WAY = (DocumentState.WAITING, DocumentState.EMBEDDING)


class Page(NamedTuple):
    """A document, and the address that answers cite."""

    content: bytes
    url: str


@dataclass(slots=True)
class Furnishing:
    """`key` pays for what is embedded. `reviewer` approves what `author` writes."""

    tenant: Tenant
    key: ApiKey
    author: str
    reviewer: str
    tell: Callable[[str], None] = print

    # Knowledge -----------------------------------------------------------------------------------
    def knowledge(self, name: str, model: str, pages: Mapping[str, Page]) -> KnowledgeBase:
        """Returns a base with these pages, all of them searchable. Raises Unready."""
        base = self._base(name, model)
        stored = [self._stored(base, name, page).pk for name, page in pages.items()]
        rows = base.documents.filter(pk__in=stored)
        self._wait(lambda: _are_ready(rows), "the embedding of the documents")
        return base

    def _stored(self, base: KnowledgeBase, name: str, page: Page) -> Document:
        form = uploading.format_of(name)
        assert form
        uploaded = (base, name, form, page.content, page.url)
        return uploading.store(*uploaded, caller=self.key, by=self.author)

    def _base(self, name: str, model: str) -> KnowledgeBase:
        bases = KnowledgeBase.objects.present().filter(tenant=self.tenant, name=name)
        if (base := bases.first()) and base.model == model:
            return base
        if base:
            raise Unready(f"the knowledge base {name} has the model {base.model}: delete it first")
        try:
            return creating.create(self.tenant, name, model, by=self.author)
        except NoVectors as problem:
            raise Unready(str(problem)) from None

    # Actions -------------------------------------------------------------------------------------
    def action(self, fields: Mapping[str, Any]) -> str:
        """Create or change an action. Returns its new secret. Raises ValidationError."""
        row = self.tenant.webhook_actions.filter(name=fields["name"]).first()
        if row is None:
            return definitions.create(self.tenant, by=self.author, **fields)[1]
        changes = {name: value for name, value in fields.items() if name != "name"}
        definitions.change(row, by=self.author, **changes)
        if row.proposed_at:  # an approved version calls it: another address needs a second person
            row.approve_change(row.proposed_at, by=self.reviewer)
        return definitions.rotate(row, timedelta(0), by=self.author)

    # The assistant -------------------------------------------------------------------------------
    def assistant(self, name: str, spec: AssistantSpec) -> AssistantVersion:
        """Returns the version with this spec that answers. Raises Unready, ValidationError."""
        row = Assistant.objects.filter(tenant=self.tenant, name=name).first()
        live = row.versions.filter(number=row.live).first() if row and row.live else None
        if live and live.spec == spec and not writing.has_other_embeddings(live):
            self.tell(f"The assistant {name} answers already: version {live.number}.")
            return live
        version = self._written(row, name, spec)
        self.tell(f"Version {version.number} of {name} learns {version.examples} examples.")
        self._wait(lambda: self._is_built(version), "the training of the assistant")
        version.submit(by=self.author)
        version.approve(by=self.reviewer)
        writing.promote(version, by=self.author)
        return version

    def _written(self, row: Assistant | None, name: str, spec: AssistantSpec) -> AssistantVersion:
        try:
            if row:
                return writing.write(row, spec, by=self.author, caller=self.key)
            made = writing.create(self.tenant, name, spec, by=self.author, caller=self.key)
        except WrongSpec as wrong:
            raise Unready(f"the assistant is refused: {wrong}") from None
        return made.versions.get()

    def _is_built(self, version: AssistantVersion) -> bool:
        version.refresh_from_db()
        if version.build == BuildState.FAILED:
            raise Unready(f"the assistant cannot be trained: {version.error_code}")
        return version.build == BuildState.BUILT

    def _wait(self, done: Callable[[], bool], what: str) -> None:
        ends = time.monotonic() + PATIENCE_S
        while not done():
            if time.monotonic() > ends:
                raise Unready(f"{what} takes too long: does the jobs process run?")
            time.sleep(LOOK_EVERY_S)


def _are_ready(rows: QuerySet[Document]) -> bool:
    """Raises Unready if one of them has failed."""
    if failed := rows.filter(state=DocumentState.FAILED).first():
        raise Unready(f"the document {failed.name} failed: {failed.problem}")
    return not rows.filter(state__in=_UNDER_WAY).exists()


def spec_of(fields: Mapping[str, Any]) -> AssistantSpec:
    try:
        return msgspec.convert(fields, AssistantSpec)
    except msgspec.ValidationError as problem:
        raise ValidationError(str(problem)) from None
