"""Which requests are one and the same: the name under which an answer is kept.

The name is a keyed hash over the tenant too: no request of another tenant ever has it. And over
everything that the model's engines are made from, so that a change of these, such as a new version
of the model, leaves the old answers behind.
"""

import hmac
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings

from inference import engines
from inference.engines.snapshot import Snapshot
from inference.pools import Entry

Body = dict[str, Any]
# How an answer is brought, and who is behind it: nothing of what it says.
_BESIDE = ("stream", "stream_options", "user")
_DEFAULTS: Body = {
    "top_p": 1,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "repetition_penalty": 1,
    "min_p": 0,
    "n": 1,
    "logprobs": False,
    "echo": False,
    "suffix": "",
    "stop": [],
    "logit_bias": {},
    "tools": [],
    "response_format": {"type": "text"},
}
# Engines write an object's fields in the order of its schema.
_IN_ORDER = ("tools", "response_format", "guided_json", "structured_outputs")
# What makes no other answer: how much runs at once, and a secret.
_NOT_OF_THE_MODEL = ("slots", "api_key")


def is_deterministic(body: Body) -> bool:
    """The same again, if it is asked again: temperature 0, or a seed."""
    return body.get("temperature") == 0 or body.get("seed") is not None


def name_of(tenant_id: UUID, epoch: int, model: str, body: Body, *, chat: bool) -> bytes:
    """32 bytes. `body`: as prepared for the engine. `epoch`: the tenant's, from purge to purge."""
    where = [tenant_id.hex, epoch, model, chat, _version(model)]
    text = orjson.dumps([where, canonical(body)], option=orjson.OPT_SORT_KEYS)
    return hmac.digest(settings.API_KEY_PEPPER, b"answer cache|" + text, sha256)


def canonical(body: Body) -> Body:
    """Without what is as it would be if it were left out."""
    found = {name: _plain(value) for name, value in body.items() if name not in _BESIDE}
    if isinstance(found.get("stop"), str):
        found["stop"] = [found["stop"]]
    found = {
        name: value
        for name, value in found.items()
        if value is not None and _DEFAULTS.get(name, _NONE) != value
    }
    ordered = {name: orjson.dumps(found[name]).decode() for name in _IN_ORDER if name in found}
    return {**found, **ordered}


_NONE = object()


def _plain(value: Any) -> Any:
    """1.0 is 1."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


# Versions ----------------------------------------------------------------------------------------
_known: tuple[Snapshot | None, dict[str, str]] = None, {}


def _version(model: str) -> str:
    """A hash over what its engines are made from, in their pools."""
    global _known
    present = engines.in_force()
    if _known[0] is not present:
        _known = present, {}
    versions = _known[1]
    if model not in versions:
        entries = [_told(entry) for entry in present.entries if entry.model == model]
        text = orjson.dumps(sorted(entries), default=str, option=orjson.OPT_NON_STR_KEYS)
        versions[model] = sha256(text).hexdigest()
    return versions[model]


def _told(entry: Entry) -> str:
    fields = {name: entry.fields[name] for name in entry.fields if name not in _NOT_OF_THE_MODEL}
    return repr((entry.pool, entry.engine, sorted(fields.items())))
