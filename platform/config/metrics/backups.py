"""Metrics of backups: their age, and the result of their last proof (docs/operations/backup.md).

The files are those of this home. Verifications are in the database too: those of pgBackRest's
backups run on the database's host. A platform without backups has none of these figures, and one
that pgBackRest backs up only those of verifications and of the kit: pgBackRest knows the rest.
"""

from typing import Any, NamedTuple

import psycopg

from config import backup_settings, environment
from console.backups.record import VERIFICATION, Progress, Verified
from infrastructure.metrics import Gauge

STORED = Gauge(
    "forebay_backup_stored_until_seconds",
    "Unix time up to which everything is in the backups; 0 before the first",
)
FAILING = Gauge("forebay_backup_failing", "1 while the backups cannot be written")
BASE = Gauge("forebay_backup_base_seconds", "Unix time of the last base backup; 0 without one")
VERIFIED = Gauge(
    "forebay_backup_verified_seconds",
    "Unix time at which a backup was last restored and found right; 0 if never",
)
KIT = Gauge(
    "forebay_backup_kit_checked_seconds",
    "Unix time at which the kit of secrets was last found whole; 0 if never",
)
FINDINGS = Gauge("forebay_backup_findings", "What the last verification of a backup found")
GAPS = Gauge(
    "forebay_backup_gaps", "Times that log was lost before it was stored; no restore goes into them"
)
GAUGES = (STORED, FAILING, BASE, VERIFIED, KIT, FINDINGS, GAPS)


# Where backups were given up, the last verification does not count for ever.
_RECORDED = """
    select extract(epoch from max(at))::float8,
        coalesce(extract(epoch from max(at) filter (where ok)), 0)::float8,
        (array_agg(coalesce((figures->>'findings')::int, 0) order by at desc))[1]
    from audit_checkrun
    where tenant_id is null and name = %s and at > now() - interval '30 days' having count(*) > 0"""


class Recorded(NamedTuple):
    """Verifications in the database, on whichever host they ran."""

    at: float = 0.0
    good_at: float = 0.0
    findings: int = 0


_recorded = Recorded()


def read_recorded(connection: psycopg.Connection[Any]) -> None:
    """Look for verifications in the database, for the next `read`. Raises psycopg.Error."""
    global _recorded
    row = connection.execute(_RECORDED, [VERIFICATION], prepare=True).fetchone()
    _recorded = Recorded(*row) if row else Recorded()


def read() -> None:
    place = backup_settings.address()
    if not place and not _recorded.at:
        forget()
        return
    verified = Verified.read(environment.HOME)
    VERIFIED.set(max(verified.good_at, _recorded.good_at))
    is_newer = _recorded.at > verified.at
    FINDINGS.set(_recorded.findings if is_newer else len(verified.findings))
    if place:
        KIT.set(verified.kit_at)
    if place and not place.startswith(backup_settings.PGBACKREST):
        _set_progress(Progress.read(environment.HOME))


def _set_progress(progress: Progress) -> None:
    STORED.set(progress.stored_until)
    FAILING.set(float(bool(progress.failure)))
    BASE.set(progress.base_at)
    GAPS.set(progress.gaps)


def forget() -> None:
    for gauge in GAUGES:
        gauge.forget()
