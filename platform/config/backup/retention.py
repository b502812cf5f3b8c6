"""Backups that are older than wanted are removed, and the log that no base needs any more."""

from datetime import datetime

from config.backup import bases
from config.backup.bases import StoredBase
from config.backup.storage.repository import Repository
from config.backup.stored_log import StoredLog


def apply(repository: Repository, before: float) -> int:
    """Delete bases that began before a moment, but never the last; return their number.

    Raises StoreError; what is left then goes the next time.
    """
    known = bases.all_bases(repository)
    old = [
        base
        for number, base in enumerate(known[:-1])
        if min(map(_made_at, known[number:])) < before  # none is younger than one made after it
    ]
    for base in old:
        bases.discard(repository, base)
    if remaining := [base for base in known if base not in old]:
        # After a restore to an earlier moment a newer base may need older log.
        first = min(remaining, key=lambda base: base.begins)
        names = StoredLog.read(repository).before(first)
        repository.delete_all(f"wal/{name}" for name in names)
        bases.discard_unfinished(repository, max(base.label for base in remaining))
    repository.delete_drafts()
    return len(old)


def _made_at(base: StoredBase) -> float:
    """Returns the earlier of two moments: a clock that was ahead may have named the base."""
    return min(base.began_at, datetime.fromisoformat(base.ended_at)).timestamp()
