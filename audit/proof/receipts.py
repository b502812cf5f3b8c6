"""Receipts: our signatures that a request is on record, before it is sealed.

A client that keeps a receipt can later prove that the record was removed: the leaf that it names
must be sealed within seconds. It is sent as the header `x-audit-receipt`, base64 of JSON
{request_id, leaf, at, key_id, sig}; `at` in microseconds since 1970.
"""

import base64
import json
from typing import NamedTuple
from uuid import UUID

from audit.keys import signing

PURPOSE = "receipt"
HEADER = b"x-audit-receipt"


class Receipt(NamedTuple):
    request_id: UUID
    leaf: bytes
    at_us: int
    key_id: str
    signature: bytes

    @property
    def text(self) -> bytes:
        """The signed text."""
        return _text(self.request_id, self.leaf, self.at_us)

    def is_ours(self, key: bytes | None = None) -> bool:
        """Returns True if the platform signed it, with one of its keys or with `key` alone."""
        if key:
            return signing.verify(self.text, self.signature, PURPOSE, key)
        return signing.is_ours(self.text, self.signature, PURPOSE)

    def __bytes__(self) -> bytes:
        return base64.b64encode(
            b'{"request_id":"%b","leaf":"%b","at":%d,"key_id":"%b","sig":"%b"}'
            % (
                str(self.request_id).encode(),
                self.leaf.hex().encode(),
                self.at_us,
                self.key_id.encode(),
                base64.b64encode(self.signature),
            )
        )


def issue(request_id: UUID, leaf: bytes, at_us: int) -> Receipt:
    signature = signing.sign(_text(request_id, leaf, at_us), PURPOSE)
    return Receipt(request_id, leaf, at_us, signing.key_id(), signature)


def parse(text: str | bytes) -> Receipt:
    """Parses a receipt. Raises ValueError if it is none."""
    try:
        fields = json.loads(base64.b64decode(text, validate=True))
        return Receipt(
            UUID(fields["request_id"]),
            bytes.fromhex(fields["leaf"]),
            int(fields["at"]),
            str(fields["key_id"]),
            base64.b64decode(fields["sig"], validate=True),
        )
    except (KeyError, TypeError, AttributeError, ValueError):
        raise ValueError("this is no receipt") from None


def _text(request_id: UUID, leaf: bytes, at_us: int) -> bytes:
    return f"{request_id}\n{leaf.hex()}\n{at_us}\n".encode()
