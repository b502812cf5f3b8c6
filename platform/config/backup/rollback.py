"""Objects that were stored and are gone, or older than they were.

Nobody without the key can forge an object, but whoever may write to the place can delete the newest
and put older ones back. What the writer remembers shows it.
"""

from collections.abc import Iterator, Mapping

from config.backup import bases
from config.backup.storage.repository import Repository
from config.backup.stored_log import StoredLog
from config.backup.witness_files import stored_size


def missing_objects(
    repository: Repository, *, stored: int, base: str, witness: Mapping[str, int]
) -> list[str]:
    """Returns a line for each kind of object that is behind. Raises StoreError, Unreadable."""
    return [*_bases(repository, base), *_log(repository, stored), *_witness(repository, witness)]


def missing_witness_lines(repository: Repository, witness: Mapping[str, int]) -> list[str]:
    """Returns those of the witness alone: without them a restore would not erase again."""
    return list(_witness(repository, witness))


def _bases(repository: Repository, base: str) -> Iterator[str]:
    if base and base not in {each.label for each in bases.all_bases(repository)}:
        yield f"the base backup {base} is gone from the place"
    yield from (f"a base backup does not open: {problem}" for problem in bases.damaged(repository))


def _log(repository: Repository, stored: int) -> Iterator[str]:
    known = bases.all_bases(repository)
    if not (known and stored):
        return
    for _ in range(2):  # pieces may be merged while they are listed, but not twice within a second
        lacks = stored - StoredLog.read(repository).end(known[-1])
        if lacks <= 0:
            return
    yield f"the last {lacks:,} bytes of the log that were stored are gone from the place"


def _witness(repository: Repository, witness: Mapping[str, int]) -> Iterator[str]:
    for name, size in witness.items():
        present = stored_size(repository, name)
        if present < size:
            yield f"witness/{name} has {present:,} of the {size:,} bytes that were stored"
