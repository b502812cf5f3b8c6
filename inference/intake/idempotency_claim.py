"""The claim of a request with an `Idempotency-Key`: to be the one that runs under the key."""

import hmac
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

import orjson
from django.conf import settings

from inference.errors import BadRequest
from inference.validation.schemas import Body

HEADER = "Idempotency-Key"
LONGEST = 255


@dataclass(frozen=True, slots=True)
class Claim:
    """Keyed hashes of the key and of the request, which reveal no text."""

    key: bytes
    body: bytes
    owner: UUID | None = None  # set by inference/api/idempotency.py
    instead_of: UUID | None = None  # an earlier request of this key that came to nothing

    @classmethod
    def of(cls, key: str, route: str, body: Body) -> "Claim":
        """Returns the claim of a request. Raises BadRequest."""
        if not 1 <= len(key) <= LONGEST or not (key.isascii() and key.isprintable()):
            raise BadRequest(
                f"{HEADER} must be 1 to {LONGEST} printable ASCII characters", param=HEADER
            )
        return cls(
            _mac(key.encode()), _mac(orjson.dumps([route, body], option=orjson.OPT_SORT_KEYS))
        )

    def row(self) -> dict[str, str | None]:
        """Returns the parameters of CLAIMED (inference/record/commits.py)."""
        assert self.owner
        return {
            "claim_owner": self.owner.hex,
            "claim_key": self.key.hex(),
            "claim_body": self.body.hex(),
            "claim_instead_of": self.instead_of.hex if self.instead_of else None,
        }


def _mac(text: bytes) -> bytes:
    return hmac.digest(settings.API_KEY_PEPPER, b"idempotency|" + text, sha256)
