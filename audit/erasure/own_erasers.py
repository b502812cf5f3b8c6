"""Erasers of this package: keys, encrypted texts, and files made for a person."""

from functools import partial
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from audit.erasure import tombstones
from audit.erasure.erasers import Eraser, ErasureTurn, Evidence, register
from audit.exports import export_file
from audit.keys import keyring
from audit.models import DataKey, ErasureStep, Export, Payload
from audit.trail import partitions
from infrastructure.postgres.queries import rows

KEYS = "subject_keys"
TEXTS = 10_000  # in one transaction
# Includes requests that ran while the key was destroyed, and excludes keys of other people.
_USED = """
    select distinct p.data_key_id
    from audit_event e join audit_payload p on p.request_id = e.request_id
        and p.tenant_id = e.tenant_id
    where e.tenant_id = %s and e.subject_id = %s and not exists (
        select from audit_datakey k
        where k.id = p.data_key_id and k.subject_id is distinct from e.subject_id)"""


def key_ids(tenant_id: UUID, subject_id: UUID) -> list[UUID]:
    """Returns every key that has encrypted texts of the subject, including destroyed ones."""
    owned = {"tenant_id": tenant_id, "subject_id": subject_id}
    ids = set(DataKey.objects.filter(**owned).values_list("id", flat=True))
    steps = ErasureStep.objects.filter(
        store=KEYS, tenant_id=tenant_id, request__subject_id=subject_id
    )
    for evidence in steps.values_list("evidence", flat=True):
        ids |= {UUID(key_id) for key_id in evidence.get("key_ids", ())}
    return sorted(ids | {key_id for (key_id,) in rows(_USED, [tenant_id, subject_id])})


def _destroy_keys(tenant_id: UUID, subject_id: UUID) -> Evidence:
    """Destroys the subject's keys for good; the keyring makes no new one (keys/keyring.py)."""
    # A transaction that makes a key now either comes first or sees the tombstone.
    keyring.lock_tenant_keys(tenant_id)
    tombstones.place(tenant_id, subject_id)
    return keyring.destroy(tenant_id, subject_id)


def _erase_texts(tenant_id: UUID, subject_id: UUID) -> Evidence:
    return {"texts": partitions.erase_texts(key_ids(tenant_id, subject_id), TEXTS)}


def _texts_remaining(tenant_id: UUID, subject_id: UUID) -> int:
    keys = key_ids(tenant_id, subject_id)
    return Payload.objects.filter(tenant_id=tenant_id, data_key_id__in=keys).count()


def _erase_exports(tenant_id: UUID, subject_id: UUID) -> Evidence:
    theirs = Export.objects.filter(tenant_id=tenant_id, subject_id=subject_id)
    return {"exports": export_file.purge(theirs.select_for_update())}


def _rows_remaining(model: type[DataKey | Export], tenant_id: UUID, subject_id: UUID) -> int:
    return model._default_manager.filter(tenant_id=tenant_id, subject_id=subject_id).count()


def register_own() -> None:
    keys, files = partial(_rows_remaining, DataKey), partial(_rows_remaining, Export)
    texts = _("Prompts and answers in the audit trail")
    register(Eraser(KEYS, _("Keys"), ErasureTurn.KEYS, _destroy_keys, keys))
    of_texts = _erase_texts, _texts_remaining
    register(Eraser("texts", texts, ErasureTurn.CONTENT, *of_texts, portion=TEXTS))
    exports = _("Files that were exported")
    register(Eraser("exports", exports, ErasureTurn.CONTENT, _erase_exports, files))
