"""Receipts: our signatures that a request is on record, before it is sealed.

A client that keeps a receipt can later prove that the record was removed: the leaf that it names
must be sealed within seconds. It is sent as the header `x-audit-receipt`, base64 of JSON
{request_id, leaf, at, key_id, sig}; `at` in microseconds since 1970.
"""

import base64
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


def _text(request_id: UUID, leaf: bytes, at_us: int) -> bytes:
    return f"{request_id}\n{leaf.hex()}\n{at_us}\n".encode()
