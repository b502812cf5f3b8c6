"""Backups that are older than wanted are removed, and the log that no base needs any more."""

from config.backup import bases
from config.backup.repository import Repository
from config.backup.stored_log import StoredLog


def apply(repository: Repository, before: float) -> int:
    """Delete bases that began before a moment, but never the last; return their number.

    Raises StoreError; what is left then goes the next time.
    """
    known = bases.all_bases(repository)
    old = [base for base in known[:-1] if base.began_at.timestamp() < before]
    for base in old:
        bases.discard(repository, base)
    if remaining := known[len(old) :]:
        for name in StoredLog.read(repository).before(remaining[0]):
            repository.delete(f"wal/{name}")
        bases.discard_unfinished(repository, remaining[-1].label)
    repository.delete_drafts()
    return len(old)
