"""What `audit` itself holds of a person: keys, encrypted texts, files made for somebody."""

from uuid import UUID

from django.db import connection
from django.utils.translation import gettext_lazy as _

from audit.erasure import tombstones
from audit.erasure.erasers import Eraser, Evidence, Turn, register
from audit.exports import trail_export
from audit.keys import keyring
from audit.models import DataKey, ErasureStep, Export, Payload
from audit.trail import erasing

KEYS = "subject_keys"
# Also of requests that were on their way while the key was destroyed. Never somebody else's key.
_USED = """
    select distinct p.data_key_id
    from audit_event e join audit_payload p on p.request_id = e.request_id
        and p.tenant_id = e.tenant_id
    where e.tenant_id = %s and e.subject_id = %s and not exists (
        select from audit_datakey k
        where k.id = p.data_key_id and k.subject_id is distinct from e.subject_id)"""


def key_ids(tenant_id: UUID, subject_id: UUID) -> list[UUID]:
    """Every key that texts of the subject have been encrypted with, also those that are gone."""
    owned = {"tenant_id": tenant_id, "subject_id": subject_id}
    found = set(DataKey.objects.filter(**owned).values_list("id", flat=True))
    steps = ErasureStep.objects.filter(
        store=KEYS, tenant_id=tenant_id, request__subject_id=subject_id
    )
    for evidence in steps.values_list("evidence", flat=True):
        found |= {UUID(key_id) for key_id in evidence.get("key_ids", ())}
    with connection.cursor() as cursor:
        cursor.execute(_USED, [tenant_id, subject_id])
        found |= {row[0] for row in cursor.fetchall()}
    return sorted(found)


def _destroy_keys(tenant_id: UUID, subject_id: UUID) -> Evidence:
    """From here on there is no way back, and no new key for this subject (keys/keyring.py)."""
    keyring.hold_tenant(tenant_id)  # whoever makes a key at this moment is first, or sees the stone
    tombstones.place(tenant_id, subject_id)
    return keyring.destroy(tenant_id, subject_id)


def _keys_left(tenant_id: UUID, subject_id: UUID) -> int:
    return DataKey.objects.filter(tenant_id=tenant_id, subject_id=subject_id).count()


def _erase_texts(tenant_id: UUID, subject_id: UUID) -> Evidence:
    return {"texts": erasing.erase_texts(key_ids(tenant_id, subject_id))}


def _texts_left(tenant_id: UUID, subject_id: UUID) -> int:
    keys = key_ids(tenant_id, subject_id)
    return Payload.objects.filter(tenant_id=tenant_id, data_key_id__in=keys).count()


def _erase_exports(tenant_id: UUID, subject_id: UUID) -> Evidence:
    theirs = Export.objects.filter(tenant_id=tenant_id, subject_id=subject_id)
    return {"exports": trail_export.purge(theirs.select_for_update())}


def _exports_left(tenant_id: UUID, subject_id: UUID) -> int:
    return Export.objects.filter(tenant_id=tenant_id, subject_id=subject_id).count()


def register_own() -> None:
    register(Eraser(KEYS, _("Keys"), Turn.KEYS, _destroy_keys, _keys_left))
    texts = _("Prompts and answers in the audit trail")
    register(Eraser("texts", texts, Turn.CONTENT, _erase_texts, _texts_left))
    files = _("Files that were exported")
    register(Eraser("exports", files, Turn.CONTENT, _erase_exports, _exports_left))
