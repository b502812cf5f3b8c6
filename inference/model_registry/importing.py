"""Imports versions in the background: the jobs process gets the files, checks and registers them.

A version that is importing is its own queue. Whoever claims it shows every few seconds that it
lives; after a minute of silence another process begins the import anew.
"""

import logging
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Protocol
from uuid import UUID

from celery import current_app
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from inference.model_registry import contents, room, uploading
from inference.model_registry.headers.header import BadFile
from inference.model_registry.registering import claim, complete, reason, scope_of
from inference.model_registry.source import KINDS
from inference.model_registry.sources import archives, git, https, uploads
from inference.model_registry.sources.folders import folder_of
from inference.model_registry.sources.progress import Budget, Stopped
from inference.models import ModelVersion, VersionKind
from inference.models.model_version import UNATTENDED
from infrastructure.objects.content import digest_of
from infrastructure.postgres import queries

log = logging.getLogger(__name__)
BY = "system:import"
BEAT_S = 5.0
AT_ONCE, AT_ONCE_OF_OWNER = 6, 2  # imports of this process, and of an owner in all of them
MOST_IMPORTS = 20  # of an owner
STORE_WITHIN_S = 3600.0  # all has been fetched: it would be lost with an outage of the store
_running: set[UUID] = set()
_claiming = Lock()  # Celery's threads may look for work at the same time


class AnySource(Protocol):
    """The place of the files; `row` is kept with the version."""

    def check(self, *, by_tenant: bool) -> None:
        """Raises ValidationError."""

    @property
    def row(self) -> dict[str, Any]: ...


Fetch = Callable[[ModelVersion, Path, Budget], Path]
_fetches: dict[str, Fetch] = {}


def register_source(kind: str, fetch: Fetch) -> None:
    """Add a kind of source. `fetch` writes into an empty folder, and returns what to register.

    It raises BadFile, Stopped, OSError; after another exception the import is begun anew.
    """
    _fetches[kind] = fetch


def begin(
    *,
    tenant_id: UUID | None,
    name: str,
    kind: VersionKind,
    source: AnySource,
    by: str,
    **fields: Any,
) -> ModelVersion:
    """Create a version and let it be imported. Runs in its owner's scope. Raises ValidationError.

    `fields` are parents, licence and card.
    """
    source.check(by_tenant=tenant_id is not None)
    if room.remaining(tenant_id) <= 0:
        raise ValidationError(_("There is no room for it: delete versions that nobody needs."))
    with transaction.atomic():
        _refuse_more(tenant_id)
        version = ModelVersion.begin(
            tenant_id=tenant_id,
            name=name,
            kind=kind,
            by=by,
            source=source.row,
            touched_at=timezone.now() - timedelta(days=1),
            **fields,
        )
        transaction.on_commit(wake)
    return version


def _refuse_more(tenant_id: UUID | None) -> None:
    """Lock the number of an owner's imports until the transaction ends. Raises ValidationError."""
    queries.lock(f"imports:{tenant_id}")
    if ModelVersion.objects.of(tenant_id).under_way(_kinds()).count() >= MOST_IMPORTS:
        text = _("There are %d imports under way: wait until some have ended.")
        raise ValidationError(text % MOST_IMPORTS)


def _kinds() -> tuple[str, ...]:
    return (*KINDS, *_fetches)


def wake() -> None:
    try:
        current_app.send_task("inference.import_models", ignore_result=True)
    except Exception:  # the broker is away: beat sends the task within seconds
        log.warning("cannot start the import now; beat retries it", exc_info=True)


def import_all() -> list[Thread]:
    """Import what waits, each version in a thread, in the system's scope."""
    threads = list[Thread]()
    with _claiming:
        while len(_running) < AT_ONCE and (version := _next()):
            if version.claim_import():
                _running.add(version.pk)
                threads.append(Thread(target=_import, args=[version], daemon=True))
                threads[-1].start()
    return threads


def _next() -> ModelVersion | None:
    """Returns the oldest waiting version of the owner with the fewest imports that run.

    So the slow imports of one owner leave places for others.
    """
    kinds = _kinds()
    attended = ModelVersion.objects.attended(kinds).values_list("tenant_id", flat=True)
    running = Counter[UUID | None](attended)
    # One of this process that could not show that it lives has its folder still.
    waiting = ModelVersion.objects.waiting(kinds).exclude(pk__in=_running)
    oldest = waiting.order_by("tenant_id", "created_at")
    turns = [
        (running[version.tenant_id], version.created_at, version.pk, version)
        for version in oldest.distinct("tenant_id")
        if running[version.tenant_id] < AT_ONCE_OF_OWNER
    ]
    return min(turns)[-1] if turns else None


def _import(version: ModelVersion) -> None:
    try:
        with _pulse(version) as is_wanted, _working_folder(version) as folder:
            import_now(version, folder, is_wanted)
    except Stopped:
        log.info("import of %s: it is no longer wanted", version.pk)
    except Exception:
        log.exception("import of %s failed", version.pk)
    finally:
        _running.discard(version.pk)
        connection.close()
        wake()


def import_now(version: ModelVersion, folder: Path, is_wanted: Callable[[], bool]) -> None:
    """Get the files into an empty folder, check them and register them. Raises Stopped."""
    _register(version, folder, is_wanted)
    if version.source["type"] == "files" and version.tenant_id:
        with scope_of(version.tenant_id):
            uploading.forget(version.tenant_id, version.source["files"])


def _register(version: ModelVersion, folder: Path, is_wanted: Callable[[], bool]) -> None:
    try:
        with scope_of(version.tenant_id):
            budget = Budget(room.remaining(version.tenant_id), is_wanted)
        files = _fetched(version, folder, budget)
        checked = contents.read(files, VersionKind(version.kind))
        with scope_of(version.tenant_id):
            claim(version, checked)
    except (BadFile, ValidationError, room.RegistryFull, OSError) as problem:
        with scope_of(version.tenant_id):
            version.fail(reason(problem), by=BY)
        return
    complete(version, checked, by=BY, store_within_s=STORE_WITHIN_S)


def _fetched(version: ModelVersion, folder: Path, budget: Budget) -> Path:
    """Returns the folder or file with what the source has. Raises BadFile, Stopped, OSError."""
    source, by_tenant = version.source, version.tenant_id is not None
    if fetch := _fetches.get(source["type"]):
        return fetch(version, folder, budget)
    if source["type"] == "git":
        repository = git.Repository(source["url"], folder, budget, by_tenant=by_tenant)
        version.source = {**source, "commit": repository.check_out(source["revision"])}
        return _below(folder, source["path"])
    if source["type"] == "https":
        name = Path(source["url"].partition("?")[0]).name or "model"
        file = folder / "download" / name
        file.parent.mkdir()
        https.download(source["url"], source["sha256"], file, budget, by_tenant=by_tenant)
    elif source["type"] == "files":
        file = _uploaded(version, folder / "uploads", budget)
    else:
        file = folder_of(source["path"])
    if file.is_dir() or not archives.is_archive(file):
        return file
    (folder / "unpacked").mkdir()
    return archives.unpack(file, folder / "unpacked", budget)


def _uploaded(version: ModelVersion, folder: Path, budget: Budget) -> Path:
    """Returns the file, or the folder with several. Raises BadFile, Stopped, OSError."""
    assert version.tenant_id
    folder.mkdir()
    files = uploads.write(version.tenant_id, version.source["files"], folder, budget)
    digest = version.source["sha256"].lower()
    if digest and (actual := digest_of(files[0])) != digest:
        raise BadFile(f"its SHA-256 is {actual}, not the one that was given")
    return files[0] if len(files) == 1 else folder


def _below(folder: Path, path: str) -> Path:
    inside = (folder / path).resolve()
    if not inside.is_relative_to(folder.resolve()) or not inside.exists():
        raise BadFile(f"the repository has no folder {path[:60]!r}")
    return inside


@contextmanager
def _pulse(version: ModelVersion) -> Iterator[Callable[[], bool]]:
    """Shows that the import lives. Yields a function that says whether it is wanted."""
    ended, unwanted = Event(), Event()

    def beat() -> None:
        shown_at = time.monotonic()
        while not ended.wait(BEAT_S):
            try:
                with scope_of(version.tenant_id):
                    is_wanted = version.alive()
                shown_at = time.monotonic()
            except Exception:  # PostgreSQL is away; after a minute the import is another's
                log.warning("import of %s: cannot show that it lives", version.pk, exc_info=True)
                connection.close()
                is_wanted = time.monotonic() - shown_at < UNATTENDED.total_seconds()
            if not is_wanted:
                unwanted.set()
        connection.close()

    thread = Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield lambda: not unwanted.is_set()
    finally:
        ended.set()
        thread.join()


@contextmanager
def _working_folder(version: ModelVersion) -> Iterator[Path]:
    folder = settings.MODEL_IMPORTS / str(version.pk)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers() -> None:
    """Remove folders of imports that died with their process a day ago."""
    for folder in settings.MODEL_IMPORTS.glob("*"):
        if time.time() - folder.stat().st_mtime > timedelta(days=1).total_seconds():
            shutil.rmtree(folder, ignore_errors=True)
