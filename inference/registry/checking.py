"""Whether an entry makes an engine: what its kind takes, of which type. Types are strict."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import msgspec
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from inference import classes, launching, policy
from inference.engines import built
from inference.engines.base import LONGEST_SILENCE_S, EngineConfig
from inference.models import Pool
from inference.models.served import LONGEST_NAME
from inference.pools import MOST_SLOTS, SLOTS, Entry, in_numbers
from inference.registry.launched import check_launch
from inference.registry.problems import in_words

_OURS = {"name", "id", "seat"}  # follow from the model and the engine
KEYS = {field.name for field in fields(EngineConfig)} - _OURS
_COLUMNS = {"kind", "url", "api_key", "slots", "auto_slots", "hosted"}
_WAITS = ("silence_s", "stall_s", "first_token_s", "between_tokens_s")
OPTIONS = KEYS - _COLUMNS  # that have no column of their own


def check(entry: Entry) -> None:
    """Raises ValueError, in one line."""
    if unknown := sorted(entry.fields.keys() - KEYS):
        raise ValueError(f"engine {entry.engine!r}: there is no key {unknown[0]!r}")
    if long := max((entry.model, entry.pool, entry.engine), key=len)[LONGEST_NAME:]:
        raise ValueError(
            f"engine {entry.engine[:LONGEST_NAME]!r}: a name is {len(long)} characters too long"
        )
    try:
        policy.check(entry.policy, classes.names())
    except policy.BadPolicy as problem:
        raise ValueError(f"pool {entry.pool!r}: {problem}") from None
    if launch := entry.fields.get("launch"):
        _check_launch(entry, launch)
    given = {"name": entry.model, "model": entry.model, **entry.fields}
    try:
        msgspec.convert(given, EngineConfig)
    except msgspec.ValidationError as problem:
        raise ValueError(f"engine {entry.engine!r}: {problem}") from None
    if not 1 <= entry.fields.get("slots", SLOTS) <= MOST_SLOTS:
        raise ValueError(f"engine {entry.engine!r}: slots must be 1 to {MOST_SLOTS}")
    for name in _WAITS:
        if not 1 <= entry.fields.get(name, 1) <= LONGEST_SILENCE_S:
            longest = f"{LONGEST_SILENCE_S:g}"
            raise ValueError(f"engine {entry.engine!r}: {name} must be 1 to {longest} seconds")
    built(entry)


def _check_launch(entry: Entry, launch: Any) -> None:
    try:
        launching.read(str(entry.fields["kind"]), launch)
        if not entry.fields.get("url"):
            raise ValueError("launch without a url is for `make run`, which chooses a port")
        launching.port_of(entry.fields["url"])
    except ValueError as problem:
        raise ValueError(f"engine {entry.engine!r}: {problem}") from None


def check_given(pool: Pool, name: str, given: Mapping[str, Any]) -> None:
    """What the API or a form has for an engine of this name. Raises ValidationError."""
    options = given["options"]
    if unknown := sorted(options.keys() - OPTIONS):
        raise ValidationError({"options": _("There is no such option: %s.") % unknown[0]})
    if launch := options.get("launch"):
        check_launch(str(given["kind"]), launch)
    own = in_numbers({field: value for field, value in given.items() if field != "options"})
    try:
        check(Entry(pool.model.name, pool.name, name, {**options, **own}))
    except ValueError as problem:
        raise ValidationError({"options": in_words(str(problem))}) from None
