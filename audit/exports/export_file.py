"""Encrypted files made for a person: how they are made, read and deleted."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from celery import current_app
from django.conf import settings
from django.utils import timezone

from audit.keys import encrypted_file
from audit.keys.encrypted_file import EncryptedFile
from audit.keys.keyring import keyring
from audit.models import Export
from audit.retention import periods
from audit.retention.data_classes import EXPORTS

log = logging.getLogger(__name__)
MAKING, READY, FAILED = "making", "ready", "failed"


def new(**fields: Any) -> Export:
    """Stores an export to be made, which is kept as long as its tenant keeps such files."""
    days = periods.days_of(fields["tenant_id"], EXPORTS)
    return Export.objects.create(**fields, expires_at=timezone.now() + timedelta(days=days))


def wake(task: str) -> None:
    try:
        current_app.send_task(task, ignore_result=True)
    except Exception:  # the broker is away; beat sends the task within a minute
        log.warning("cannot start the export now; beat retries it", exc_info=True)


@contextmanager
def writing(export: Export) -> Iterator[EncryptedFile]:
    """Encrypts under the key of the person, else of the tenant, then notes key, size and hash."""
    cipher = keyring.of_subject_now(export.tenant_id, export.subject_id)
    with EncryptedFile(path_of(export), cipher, _aad(export)) as file:
        yield file
    export.data_key_id, export.bytes, export.sha256 = cipher.key_id, file.size, file.sha256


def reading(export: Export) -> Iterator[bytes]:
    """Returns the decrypted pieces. Raises FileNotFoundError, Unreadable."""
    path = path_of(export)
    if export.state != READY or expired(export) or not path.exists():
        raise FileNotFoundError(path.name)
    return decrypted(export)


def decrypted(export: Export) -> Iterator[bytes]:
    """Returns the decrypted pieces of a file that is written, whatever its export's state is."""
    assert export.data_key_id
    cipher = keyring.by_id_now(export.data_key_id)
    return encrypted_file.decrypted(path_of(export), cipher, _aad(export))


def expired(export: Export) -> bool:
    return export.expires_at <= timezone.now()


def purge(exports: Any) -> int:
    """Deletes exports, files first: a file without a row would never be noticed."""
    deleted = 0
    for export in exports:
        for path in _folder().glob(f"{export.id}*"):
            path.unlink(missing_ok=True)
        deleted += export.delete()[0]
    return deleted


def path_of(export: Export) -> Path:
    return _folder() / f"{export.id}.sealed"


def _folder() -> Path:
    return Path(settings.FOREBAY_HOME) / "exports"


def _aad(export: Export) -> bytes:
    return b"audit_export|%b|%b" % (export.tenant_id.bytes, export.id.bytes)
