"""References by which a tenant names a person: only their digests are stored."""

import unicodedata
from uuid import UUID

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from audit.keys.digest_key import digest, digest_at_once

LONGEST_REFERENCE = 200


def reference_digest(tenant_id: UUID, reference: str) -> bytes:
    """Returns the digest of a reference, whose ends and form of accents do not count.

    Raises ValidationError, Unreadable, MasterKeyUnavailable.
    """
    return digest(tenant_id, _normal(reference))


def reference_digest_at_once(tenant_id: UUID, reference: str) -> bytes | None:
    """Returns what `reference_digest` does; None if that needs a query. Raises ValidationError."""
    return digest_at_once(tenant_id, _normal(reference))


def _normal(reference: str) -> str:
    text = unicodedata.normalize("NFC", reference).strip()
    if not 0 < len(text) <= LONGEST_REFERENCE or not text.isprintable():
        raise ValidationError(
            _("A person's reference has 1 to %d printable characters.") % LONGEST_REFERENCE
        )
    return text
