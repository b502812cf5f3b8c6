"""The name of a cached answer, which identical requests share.

The name is a keyed hash that includes the tenant: no other tenant's request has it. It also
includes all that the model's engines are made from, so that a change, such as a new version of the
model, leaves the old answers behind.
"""

import hmac
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings

from inference import engines
from inference.engine_entries import EngineEntry, version_besides_adapters
from inference.engines.base import EngineConfig
from inference.engines.snapshot import Snapshot
from inference.order import OrderAdapter

LENGTH = 8
# Fields that do not change answers: the number of slots, and a secret.
_NOT_OF_THE_MODEL = ("slots", "api_key")
_OF_A_LAUNCH = ("url", "adapters", "same_as")
_known: tuple[Snapshot | None, dict[str, bytes]] = None, {}
Body = dict[str, Any]
# Fields of delivery and origin, which do not change the answer.
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


def version_of(model: str) -> bytes:
    """Returns LENGTH bytes of a model's engines in all pools, and of their draining."""
    global _known
    present = engines.in_force()
    if _known[0] is not present:
        _known = present, {}
    versions = _known[1]
    if model not in versions:
        entries = [entry for entry in present.entries if entry.model == model]
        serving = {_text_of(entry) for entry in entries if not entry.draining}
        draining = {_text_of(entry) for entry in entries if entry.draining} - serving
        text = orjson.dumps([sorted(serving), sorted(draining)])
        versions[model] = sha256(text).digest()[:LENGTH]
    return versions[model]


def is_present(name: bytes, answered_by: EngineConfig) -> bool:
    """Returns whether the name's version is in force, with this engine as one of its.

    While versions change, processes learn it one after the other: the old version may have answered
    a request for the new one.
    """
    model = answered_by.name
    serving = (engine for pool in engines.pools_of(model) for engine in pool.engines)
    return name.endswith(version_of(model)) and any(
        _made_of(engine.config) == _made_of(answered_by) for engine in serving
    )


def _made_of(config: EngineConfig) -> tuple[str, str, str]:
    return config.id, config.model, config.version


def _text_of(entry: EngineEntry) -> str:
    fields = {name: entry.fields[name] for name in entry.fields if name not in _NOT_OF_THE_MODEL}
    if not fields.get("launch"):
        return repr((entry.pool, entry.engine, sorted(fields.items())))
    # One of ours that was replaced for an adapter answers as before: adapters have their own names.
    fields = {name: fields[name] for name in fields if name not in _OF_A_LAUNCH}
    fields["version"] = version_besides_adapters(entry.fields)
    return repr((entry.pool, entry.seat or entry.engine, sorted(fields.items())))


def is_deterministic(body: Body) -> bool:
    """Returns whether a repeated request gets the same answer: temperature 0, or a seed."""
    return body.get("temperature") == 0 or body.get("seed") is not None


def name_of(
    tenant_id: UUID,
    epoch: int,
    model: str,
    body: Body,
    *,
    chat: bool,
    adapter: OrderAdapter | None = None,
    task: str = "",
) -> bytes:
    """Returns 32 bytes, and those of the version.

    `body` is prepared for the engine. `epoch` is the tenant's, from purge to purge. Each version of
    an adapter has answers of its own.
    """
    version = version_of(model)
    where: list[Any] = [tenant_id.hex, epoch, model, task or chat, version.hex()]
    if adapter:
        where.append(adapter.version.hex)
    text = orjson.dumps([where, canonical(body)], option=orjson.OPT_SORT_KEYS)
    return hmac.digest(settings.API_KEY_PEPPER, b"answer cache|" + text, sha256) + version


def canonical(body: Body) -> Body:
    """Returns the body without fields that have their defaults."""
    fields = {name: _plain(value) for name, value in body.items() if name not in _BESIDE}
    if isinstance(fields.get("stop"), str):
        fields["stop"] = [fields["stop"]]
    fields = {name: value for name, value in fields.items() if not _is_default(name, value)}
    ordered = {name: orjson.dumps(fields[name]).decode() for name in _IN_ORDER if name in fields}
    return {**fields, **ordered}


_NONE = object()


def _is_default(name: str, value: Any) -> bool:
    """Returns whether the field has its default. 0 is not False: `logprobs` 0 is a value."""
    default = _DEFAULTS.get(name, _NONE)
    alike = default == value and isinstance(default, bool) == isinstance(value, bool)
    return value is None or alike


def _plain(value: Any) -> Any:
    """Returns the value with whole numbers as integers: 1.0 is 1."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value
