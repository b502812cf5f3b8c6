"""Shared steps of every `change(by=, **fields)` method: lock, compare, validate, describe."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import models


def lock(record: models.Model) -> None:
    """Reloads the record and locks it until the transaction ends.

    It does not cover the key: other rows that refer to the record can be written meanwhile.
    """
    rows = type(record)._base_manager.select_for_update(no_key=True)
    record.refresh_from_db(from_queryset=rows)


def changed(
    record: models.Model, fields: dict[str, Any], allowed: Collection[str]
) -> dict[str, list[Any]]:
    """Sets fields of a locked record. Returns name -> [before, after] of those that differ now.

    Raises ValidationError after restoring the record, and TypeError for a field that is not
    `allowed`, which is a programming error.
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
    after = {name: getattr(record, name) for name in fields}  # full_clean may have cast it
    return {
        name: [_plain(before[name]), _plain(after[name])]
        for name in fields
        if before[name] != after[name]
    }


def _unset(record: models.Model, fields: dict[str, Any]) -> set[str]:
    """Returns fields that stay empty on purpose, which validation would report as missing."""
    names = {field.name: field.attname for field in record._meta.fields}
    return {name for name, at in names.items() if name not in fields and not getattr(record, at)}


def _plain(value: Any) -> Any:
    """Returns the value in a form for the audit trail's JSON."""
    if isinstance(value, models.Model):
        return str(value.pk)
    if isinstance(value, UUID):
        return str(value)
    return value.isoformat() if isinstance(value, datetime) else value
