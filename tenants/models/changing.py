"""What every `change(by=, **fields)` verb shares: lock, compare, check, and say what was before."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models


def locked(record: models.Model) -> None:
    """Reads the record again and holds it until the transaction ends.

    No key is locked, so that rows which refer to it can be written meanwhile.
    """
    rows = type(record)._base_manager.select_for_update(no_key=True)
    record.refresh_from_db(from_queryset=rows)


def changed(
    record: models.Model, fields: dict[str, Any], allowed: Collection[str]
) -> dict[str, list[Any]]:
    """Sets fields of a locked record: name -> [before, after] of those that are different now.

    Raises ValidationError with the record as it was, and TypeError for a field that is not
    `allowed`: a caller's mistake, never a person's.
    """
    if unknown := set(fields) - set(allowed):
        raise TypeError(f"{type(record).__name__} has no {', '.join(sorted(unknown))} to change")
    before = {name: getattr(record, name) for name in fields}
    for name, value in fields.items():
        setattr(record, name, value)
    try:
        record.full_clean(exclude=_unset(record, fields))
    except ValidationError:
        for name, value in before.items():
            setattr(record, name, value)
        raise
    after = {name: getattr(record, name) for name in fields}  # as full_clean has cast it
    return {
        name: [_plain(before[name]), _plain(after[name])]
        for name in fields
        if before[name] != after[name]
    }


def _unset(record: models.Model, fields: dict[str, Any]) -> set[str]:
    """Fields that code leaves empty; a form would call them missing."""
    names = {field.name: field.attname for field in record._meta.fields}
    return {name for name, at in names.items() if name not in fields and not getattr(record, at)}


def _plain(value: Any) -> Any:
    """As the audit trail's JSON can hold it."""
    if isinstance(value, models.Model):
        return str(value.pk)
    return value.isoformat() if isinstance(value, datetime) else value
