"""Whether an entry makes an engine: what its kind takes, of which type. Types are strict."""

from dataclasses import fields

import msgspec

from inference.engines import built
from inference.engines.base import EngineConfig
from inference.pools import Entry

_OURS = {"name", "id"}  # follow from the model and the engine
KEYS = {field.name for field in fields(EngineConfig)} - _OURS
OPTIONS = KEYS - {"kind", "url", "api_key", "slots", "hosted"}  # that have no column of their own


def check(entry: Entry) -> None:
    """Raises ValueError, in one line."""
    if unknown := sorted(entry.fields.keys() - KEYS):
        raise ValueError(f"engine {entry.engine!r}: there is no key {unknown[0]!r}")
    given = {"name": entry.model, "model": entry.model, **entry.fields}
    try:
        msgspec.convert(given, EngineConfig)
    except msgspec.ValidationError as problem:
        raise ValueError(f"engine {entry.engine!r}: {problem}") from None
    built(entry)
