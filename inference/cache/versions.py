"""The version of a model in the names of cached answers.

A name ends in a hash over all that the model's engines are made from. So a change of them, such as
a replacement by a new version or a rollback, leaves earlier answers behind.
"""

from hashlib import sha256

import orjson

from inference import engines
from inference.engines.base import EngineConfig
from inference.engines.snapshot import Snapshot
from inference.pools import Entry

LENGTH = 8
# Fields that do not change answers: the number of slots, and a secret.
_NOT_OF_THE_MODEL = ("slots", "api_key")
_known: tuple[Snapshot | None, dict[str, bytes]] = None, {}


def version_of(model: str) -> bytes:
    """Returns LENGTH bytes of a model's engines in all pools, and of their draining."""
    global _known
    present = engines.in_force()
    if _known[0] is not present:
        _known = present, {}
    versions = _known[1]
    if model not in versions:
        entries = [_text_of(entry) for entry in present.entries if entry.model == model]
        text = orjson.dumps(sorted(entries))
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


def _text_of(entry: Entry) -> str:
    fields = {name: entry.fields[name] for name in entry.fields if name not in _NOT_OF_THE_MODEL}
    return repr((entry.pool, entry.engine, entry.draining, sorted(fields.items())))
