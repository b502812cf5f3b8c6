"""Acts of people and programs on batches, each recorded in the same transaction."""

from uuid import UUID, uuid4

import orjson
from django.conf import settings
from django.db.models.functions import Now
from django.utils import timezone

from audit.actions import Action
from audit.keys.keyring import keyring
from audit.trail.record import act
from inference.batch import file_storage_limit, file_store
from inference.batch.encryption import metadata_aad
from inference.batch.file_storage_limit import FileGone
from inference.batch.file_store import FileOwner
from inference.models import Batch, BatchState, File
from inference.models.batch import WINDOW


class TooMany(Exception):
    """The tenant has as many unfinished batches as it may have."""


def create(
    owner: FileOwner,
    file: File,
    endpoint: str,
    metadata: dict[str, str] | None = None,
    output_expires_after_s: int | None = None,
    pk: UUID | None = None,
) -> Batch:
    """Create a batch in the owner's scope. A driver picks it up.

    With a `pk` it can be done again after a commit that was cut off: it returns the batch that has
    it.

    Raises FileGone, TooMany, StorageFull, Barred.
    """
    is_there = file_store.lock_if_whole(file)  # waits for the commit of an earlier attempt
    if pk and (batch := Batch.objects.filter(pk=pk).first()):
        return batch
    if not is_there:
        raise FileGone
    under_way = Batch.objects.filter(tenant_id=owner.tenant_id).under_way()
    if under_way.count() >= settings.BATCHES_UNDER_WAY:
        raise TooMany
    file_storage_limit.check(owner.tenant_id)
    cipher = keyring.of_subject_now(owner.tenant_id, owner.subject_id)
    batch = Batch(
        pk=pk or uuid4(),
        tenant_id=owner.tenant_id,
        api_key_id=owner.api_key_id,
        subject_id=owner.subject_id,
        data_key_id=cipher.key_id,
        endpoint=endpoint,
        input_file_id=file.pk,
        output_expires_after_s=output_expires_after_s,
        expires_at=timezone.now() + WINDOW,
        due_at=Now(),
    )
    if metadata is not None:
        batch.metadata_ciphertext = cipher.encrypt(orjson.dumps(metadata), metadata_aad(batch))
    batch.save(force_insert=True)
    batch.refresh_from_db()
    _record(Action.BATCH_CREATE, batch, owner.actor, owner.client_net)
    return batch


def cancel(batch: Batch, by: str, client_net: str | None = None) -> bool:
    """Cancel a batch. Returns False if it is too late; a repeated call changes nothing."""
    if not batch.cancel():
        return batch.state in (BatchState.CANCELLING, BatchState.CANCELLED)
    _record(Action.BATCH_CANCEL, batch, by, client_net)
    return True


def pause(batch: Batch, by: str) -> bool:
    if is_paused := batch.pause():
        _record(Action.BATCH_PAUSE, batch, by)
    return is_paused


def resume(batch: Batch, by: str) -> bool:
    if is_resumed := batch.resume():
        _record(Action.BATCH_RESUME, batch, by)
    return is_resumed


def _record(action: Action, batch: Batch, by: str, client_net: str | None = None) -> None:
    act(
        action,
        actor=by,
        tenant_id=batch.tenant_id,
        subject_id=batch.subject_id,
        client_net=client_net,
        detail={"batch": batch.public_id, "endpoint": batch.endpoint},
    )
