"""Verifies the keys of texts: each can be unwrapped with the one above it, up to the master key."""

from collections.abc import Iterator

from audit.keys.keyring import Unreadable, keyring
from audit.keys.master_keys import MasterKeyAway, MasterKeyMissing
from audit.models import DataKey
from audit.verification.report import Report
from audit.verification.rows import TimeRange, Trail

_KEYS = """
    select id, tenant_id, subject_id, version, wrapped_by, wrapped from audit_datakey
    where tenant_id = coalesce(%s::uuid, tenant_id) and (subject_id is null) = %s"""
_AT_ONCE = 1000


def check_data_keys(
    connection: Trail, span: TimeRange, report: Report, *, must: bool = False
) -> None:
    """Checks that every key opens.

    Elsewhere than at home there is no master key, which is noted; if one `must` be there, it is a
    finding.
    """
    try:
        tenants = [(row, _opens(row)) for row in _rows(connection, span, of_tenants=True)]
        if not must and tenants and all(opens is None for _, opens in tenants):
            report.notes.append("the master key is not at hand: whether keys open was not tried")
            return
        unreadable = {row.id for row, opens in tenants if not opens}
        for row, opens in tenants:
            _count(row, bool(opens), report)
        for row in _rows(connection, span, of_tenants=False):
            _count(row, row.wrapped_by not in unreadable and bool(_opens(row)), report)
    except MasterKeyAway as problem:
        report.notes.append(f"not every key was tried: {problem}")


def _rows(connection: Trail, span: TimeRange, *, of_tenants: bool) -> Iterator[DataKey]:
    names = ("id", "tenant_id", "subject_id", "version", "wrapped_by", "wrapped")
    with connection.cursor("data_keys") as cursor:
        cursor.itersize = _AT_ONCE
        cursor.execute(_KEYS, [span.tenant_id, of_tenants])
        for values in cursor:
            yield DataKey(**dict(zip(names, values, strict=True)))


def _opens(row: DataKey) -> bool | None:
    """Returns True if the key opens, or None if its master key is unknown here."""
    try:
        keyring.unwrap(row)
    except Unreadable:
        return False
    except MasterKeyMissing:
        return None
    return True


def _count(row: DataKey, opens: bool, report: Report) -> None:
    report.count("data_keys")
    if not opens:
        text = f"key {row.id} does not open: what it has sealed is lost"
        report.add("key_unreadable", text, tenant_id=row.tenant_id)
