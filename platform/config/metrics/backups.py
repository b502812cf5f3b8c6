"""Metrics of backups: their age, and the result of their last proof (docs/operations/backup.md).

The files are those of this home. A platform without backups has none of these figures, and one that
pgBackRest backs up only those of verifications and of the kit: pgBackRest knows the rest.
"""

from config import backup_settings, environment
from console.backups.record import Progress, Verified
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


def read() -> None:
    place = backup_settings.address()
    if not place:
        forget()
        return
    verified = Verified.read(environment.HOME)
    VERIFIED.set(verified.good_at)
    FINDINGS.set(len(verified.findings))
    KIT.set(verified.kit_at)
    if not place.startswith(backup_settings.PGBACKREST):
        _set_progress(Progress.read(environment.HOME))


def _set_progress(progress: Progress) -> None:
    STORED.set(progress.stored_until)
    FAILING.set(float(bool(progress.failure)))
    BASE.set(progress.base_at)
    GAPS.set(progress.gaps)


def forget() -> None:
    for gauge in GAUGES:
        gauge.forget()
