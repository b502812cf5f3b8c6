"""Which request asks an engine for an answer that others wait for: a word that only we can write.

It lies in Redis. Bound to the name of the answer, which no other tenant's request has, it leads
nobody to anything but the same request's events, whoever moves or writes what there.
"""

import hmac
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from django.conf import settings

from inference.order import Order

_MAC = 16


class Leader(NamedTuple):
    id: UUID
    streams: bool  # its events are kept while they come
    klass: str = "realtime"  # in inference/classes.py


def word(order: Order) -> str:
    told = order.id.bytes + bytes([order.keeps_events]) + order.klass.encode()
    return (told + _mac(told, order.cached)).hex()


def leader(word: bytes, name: bytes) -> Leader | None:
    """None for what is no word for this name."""
    try:
        data = bytes.fromhex(word.decode())
    except ValueError:
        return None
    told, mac = data[:-_MAC], data[-_MAC:]
    if len(told) < 17 or not hmac.compare_digest(mac, _mac(told, name)):
        return None
    return Leader(UUID(bytes=told[:16]), bool(told[16]), told[17:].decode())


def _mac(told: bytes, name: bytes) -> bytes:
    return hmac.digest(settings.API_KEY_PEPPER, b"flight|" + name + told, sha256)[:_MAC]
