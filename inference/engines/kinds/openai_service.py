"""OpenAI's own service, recognised by its host: its further fields and its own names.

After OpenAI's reference ("Create chat completion") and Azure's ("Azure OpenAI in Foundry Models").
"""

import hmac
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import orjson
from django.conf import settings

_HOSTS = ("api.openai.com", "openai.azure.com", "services.ai.azure.com")
# Fields that may name a person, or would mix two tenants' users and caches.
_OF_A_TENANT = ("user", "safety_identifier", "prompt_cache_key")


def is_at(url: str) -> bool:
    """Returns whether the address is the service's: one of its hosts, or a name below one."""
    host = urlsplit(url).hostname or ""
    return any(host == service_host or host.endswith(f".{service_host}") for service_host in _HOSTS)


def body_for(body: bytes, tenant_id: UUID, *, chat: bool) -> bytes:
    """Returns a recorded body in the service's own names.

    Its reasoning models refuse `max_tokens`; all of its chat models take `max_completion_tokens`.
    """
    fields: dict[str, Any] = orjson.loads(body)
    if chat and (limit := fields.pop("max_tokens", None)) is not None:
        fields["max_completion_tokens"] = limit
    for name in _OF_A_TENANT:
        if fields.get(name):
            fields[name] = pseudonym(tenant_id, fields[name])
    return orjson.dumps(fields)


def pseudonym(tenant_id: UUID, name: str) -> str:
    """Returns 64 characters, the same for a tenant's name each time, and meaningless to others."""
    text = b"openai|%b|%b" % (tenant_id.bytes, name.encode())
    return hmac.digest(settings.CACHE_SALT_KEY, text, sha256).hex()
