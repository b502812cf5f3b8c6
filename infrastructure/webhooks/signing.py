"""Signatures of deliveries, as standardwebhooks.com describes them.

    webhook-id: the call's id, the same in a duplicate delivery
    webhook-timestamp: seconds since 1970
    webhook-signature: v1,BASE64 of HMAC-SHA256 over "ID.TIMESTAMP.BODY"; two of them, separated by
        a blank, while a secret is being replaced

A secret is `whsec_` and the base64 of 32 random bytes; the signature's key is those bytes.
"""

import base64
import hmac
import secrets
from collections.abc import Iterable, Mapping
from hashlib import sha256

PREFIX = "whsec_"
TOLERANCE_S = 5 * 60  # receivers refuse older and newer timestamps
ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def headers(keys: Iterable[str], call_id: str, at: int, body: bytes) -> Mapping[str, str]:
    """Returns the headers of one delivery, signed with each of the secrets."""
    signatures = [f"v1,{signature(key, call_id, at, body)}" for key in keys]
    return {ID: call_id, TIMESTAMP: str(at), SIGNATURE: " ".join(signatures)}


def signature(secret: str, call_id: str, at: int, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = f"{call_id}.{at}.".encode() + body
    return base64.b64encode(hmac.digest(key, signed, sha256)).decode()
