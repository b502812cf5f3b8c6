"""Registers a folder as a version of a model: check, row, files into the store, signature.

The rows come before the files, so that whoever deletes files of the same content sees that they are
wanted. A process that dies leaves a version that is importing; `tidying.give_up` ends it.
"""

import logging
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from uuid import UUID

from django.core.exceptions import ValidationError

from inference.model_registry import contents, manifest, room
from inference.model_registry.contents import CheckedFile, Contents
from inference.model_registry.headers.header import BadFile
from inference.model_registry.storage import store
from inference.models import ModelFile, ModelVersion, VersionKind
from inference.models.model_version import LONGEST_CARD, LONGEST_LICENCE, lock_registry
from infrastructure.objects.place import StoreError
from tenants.scope import system_scope, tenant_scope

log = logging.getLogger(__name__)
BY_JOB = "system:job"
STORE_AGAIN_S = 5.0
LARGEST_NUMBER = 2**63 - 1  # of a bigint
_CARDS = ("readme.md", "model_card.md")


def register(
    *,
    tenant_id: UUID | None,
    name: str,
    folder: Path,
    kind: VersionKind,
    parents: Sequence[UUID] = (),
    data_set_versions: Sequence[UUID] = (),
    licence: str = "",
    card: str = "",
    made_by_job: UUID | None = None,
    by: str = BY_JOB,
) -> ModelVersion:
    """Register a folder, or one file of weights, as the next version of `name`.

    A job that registers the same files again gets the version that it registered before. Raises
    BadFile, RegistryFull, StoreError, ValidationError, and OSError.
    """
    checked = contents.read(folder, kind)
    if made_by_job and (before := _registered(tenant_id, name, made_by_job, checked)):
        return before
    with scope_of(tenant_id):
        version = ModelVersion.begin(
            tenant_id=tenant_id,
            name=name,
            kind=kind,
            by=by,
            parents=parents,
            data_set_versions=data_set_versions,
            licence=licence,
            card=card,
            made_by_job=made_by_job,
            source={"type": "job" if made_by_job else "folder"},
        )
        claim(version, checked)
    return complete(version, checked, by=by)


def claim(version: ModelVersion, checked: Contents) -> None:
    """Write the rows of a version's files, in its owner's scope. Raises RegistryFull."""
    lock_registry(version.tenant_id)
    version.files.all().delete()  # of a process that died while it stored them
    room.check(version.tenant_id, checked.files)
    ModelFile.objects.bulk_create(
        ModelFile(
            tenant_id=version.tenant_id,
            version=version,
            name=file.name,
            sha256=file.sha256,
            size=file.size,
        )
        for file in checked.files
    )


def complete(
    version: ModelVersion, checked: Contents, *, by: str, store_within_s: float = 0.0
) -> ModelVersion:
    """Store the files, sign their list, and make the version ready.

    A store that is away is asked again for `store_within_s` seconds. Raises StoreError,
    ValidationError, OSError; then the version has failed.
    """
    try:
        _store(version, checked, store_within_s)
        with scope_of(version.tenant_id):
            return version.finish(by=by, **_facts(version, checked))
    except Exception as problem:
        with scope_of(version.tenant_id):
            version.fail(reason(problem), by=by)
        raise


def scope_of(tenant_id: UUID | None) -> AbstractContextManager[None]:
    """Opens the scope of an owner: a tenant's, or the system's for the platform."""
    return tenant_scope(tenant_id) if tenant_id else system_scope()


def reason(problem: Exception) -> str:
    """Returns why an import failed, in one line for people."""
    if isinstance(problem, ValidationError):
        return " ".join(problem.messages)
    if isinstance(problem, BadFile):
        return str(problem)
    if isinstance(problem, room.RegistryFull):
        return "there is no room for its files: delete versions that nobody needs"
    return "its files could not be stored"


def _store(version: ModelVersion, checked: Contents, within_s: float) -> None:
    until = time.monotonic() + within_s
    for file in checked.files:
        while not _is_stored(version, file, until):
            time.sleep(STORE_AGAIN_S)


def _is_stored(version: ModelVersion, file: CheckedFile, until: float) -> bool:
    """Store a file. Returns False where the store is away, until then; later raises StoreError."""
    stored = True
    try:
        if not store().has(version.owner, file.sha256):
            store().put(version.owner, file.sha256, file.path)
    except StoreError as problem:
        if time.monotonic() >= until:
            raise
        log.warning("import of %s: waiting for the store of models: %s", version.pk, problem)
        stored = False
    with scope_of(version.tenant_id):
        if not version.alive():
            raise ValidationError("the version was deleted while it was imported")
    return stored


def _facts(version: ModelVersion, checked: Contents) -> dict[str, object]:
    header = checked.header
    return {
        "format": checked.format,
        "dtype": header.dtype,
        "architecture": _plain(header.architecture, 60),
        "parameters": header.parameters,
        "context_length": min(header.context_length, LARGEST_NUMBER),
        "size": checked.size,
        "source": version.source,
        "licence": version.licence or _plain(header.licence, LONGEST_LICENCE),
        "card": version.card or _card(checked),
        **manifest.signed(version, checked.files),
    }


def _card(checked: Contents) -> str:
    """Returns the beginning of the folder's README."""
    files = (file for file in checked.files if file.name.lower() in _CARDS)
    return next((_plain(file.path.read_text(), LONGEST_CARD) for file in files), "")


def _plain(text: str, longest: int) -> str:
    """Returns the beginning of a text of somebody's files, as PostgreSQL takes it."""
    return text.replace("\0", "")[:longest]


def _registered(
    tenant_id: UUID | None, name: str, job: UUID, checked: Contents
) -> ModelVersion | None:
    wanted = {(file.name, file.sha256) for file in checked.files}
    with scope_of(tenant_id):
        made = ModelVersion.objects.of(tenant_id).ready().filter(name=name, made_by_job=job)
        for version in made.prefetch_related("files"):
            if {(file.name, file.sha256) for file in version.files.all()} == wanted:
                return version
    return None
