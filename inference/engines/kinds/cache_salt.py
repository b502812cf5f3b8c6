"""Servers that share a prefix cache among requests with the same `cache_salt`.

Each tenant has its own secret salt: with a salt that can be guessed, or none, the time to the first
token reveals whether another tenant has sent the same beginning
(CVE-2025-46570; vLLM's documentation, "Security").
"""

import hmac
from hashlib import sha256
from uuid import UUID

from django.conf import settings

from inference.engines.kinds.openai import OpenAIEngine
from inference.order import Order


class SaltedEngine(OpenAIEngine):
    @property
    def cache_is_private(self) -> bool:
        return True

    def outgoing(self, order: Order) -> bytes:
        return order.body[:-1] + b',"cache_salt":"%b"}' % salt(order.tenant_id).encode()


def salt(tenant_id: UUID) -> str:
    """Returns 256 bits in hex, the same on every worker and after every restart."""
    return hmac.digest(settings.CACHE_SALT_KEY, tenant_id.bytes, sha256).hex()
