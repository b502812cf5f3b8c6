"""Writes rows into encrypted chunks, and reads them again.

Memory holds a few MiB of rows at a time. Each chunk has a transaction of its own: one that lasted
as long as an import would keep the audit trail's sealer waiting.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from uuid import UUID

from django.db import IntegrityError

from audit.keys.keyring import Barred, Unreadable
from audit.models import DataKey
from inference.data_sets import encryption, storage_limit
from inference.data_sets.rows import Row
from inference.data_sets.storage_limit import VersionGone
from inference.models import ChunkPart, DataSetChunk, DataSetPerson, DataSetVersion
from tenants.scope import tenant_scope

CHUNK = 1024 * 1024  # bytes of rows; a longer row has a chunk of its own
BUFFERED = 16 * 1024 * 1024  # bytes of rows of all people together
Owner = tuple[ChunkPart, UUID | None]


class RowWriter:
    """Writes the rows of a version. `rows` counts them by part, `barred` those of erased people."""

    def __init__(self, version: DataSetVersion) -> None:
        self._version = version
        self._buffers: dict[Owner, list[bytes]] = defaultdict(list)
        self._sizes: dict[Owner, int] = defaultdict(int)
        self._numbers = dict.fromkeys(ChunkPart, 0)
        self._people: dict[UUID, int] = defaultdict(int)
        self._buffered = self.bytes = self.barred = 0
        self.rows = dict.fromkeys((ChunkPart.TRAIN, ChunkPart.HELD_OUT), 0)

    @property
    def people(self) -> int:
        return len(self._people)

    def add(self, row: Row, part: ChunkPart = ChunkPart.TRAIN) -> None:
        """Raises TooLarge, StorageFull, VersionGone."""
        owner, size = (part, row.subject_id), len(row.line) + 1
        if self._sizes[owner] + size > CHUNK:
            self._flush(owner)
        self._buffers[owner].append(row.line)
        self._sizes[owner] += size
        self._buffered += size
        if self._buffered > BUFFERED:
            self._flush_all()

    def finish(self) -> None:
        """Store what is left, and the people. Raises TooLarge, StorageFull, VersionGone."""
        self._flush_all()
        version, pairs = self._version, self._people.items()
        rows = [
            DataSetPerson(version=version, subject_id=one, rows=number) for one, number in pairs
        ]
        for row in rows:
            row.tenant_id = version.tenant_id
        with tenant_scope(version.tenant_id):
            DataSetPerson.objects.bulk_create(rows, batch_size=1_000)

    def _flush_all(self) -> None:
        for owner in list(self._buffers):
            self._flush(owner)

    def _flush(self, owner: Owner) -> None:
        lines, size = self._buffers.pop(owner, []), self._sizes.pop(owner, 0)
        self._buffered -= size
        if not lines:
            return
        try:
            self._store(owner, lines, size)
        except Barred:
            self.barred += len(lines)
            return
        part, subject_id = owner
        self.rows[part] += len(lines)
        self.bytes += size
        if subject_id:
            self._people[subject_id] += len(lines)

    def _store(self, owner: Owner, lines: list[bytes], size: int) -> None:
        part, subject_id = owner
        chunk = DataSetChunk(version=self._version, part=part, number=self._numbers[part])
        chunk.subject_id, chunk.rows = subject_id, len(lines)
        store(chunk, b"\n".join(lines) + b"\n", self.bytes + size)
        self._numbers[part] += 1


def store(chunk: DataSetChunk, clear: bytes, total: int) -> None:
    """Store a chunk, after which its version takes `total` bytes or more.

    Raises Barred, TooLarge, StorageFull, VersionGone.
    """
    version = chunk.version
    chunk.tenant_id = version.tenant_id
    encryption.encrypt(chunk, clear)
    try:
        with tenant_scope(version.tenant_id):
            storage_limit.reserve(version, total)
            chunk.save(force_insert=True)
    except IntegrityError:  # its version is gone
        raise VersionGone from None


def rows(version: DataSetVersion, part: ChunkPart = ChunkPart.TRAIN) -> Iterator[Row]:
    """Yields the rows of a part, except for people whose data is restricted or erased."""
    for pk in _ids(version, part):
        yield from rows_of(version, pk)


def rows_of(version: DataSetVersion, chunk_id: int) -> Iterator[Row]:
    """Yields the rows of a chunk; none if it is gone, or cannot be read."""
    with tenant_scope(version.tenant_id):
        chunk = DataSetChunk.objects.filter(pk=chunk_id).first()
    if chunk is None:
        return
    try:
        clear = encryption.decrypted(chunk)
    except Unreadable:
        return
    yield from (Row(chunk.subject_id, line) for line in clear.splitlines())


def drop_unreadable(version: DataSetVersion) -> Counter[str]:
    """Delete chunks whose person was erased while they were written. Returns their rows by part."""
    chunks = version.chunks.exclude(data_key_id__in=DataKey.objects.values("id"))
    lost = Counter[str]()
    for part, rows in chunks.values_list("part", "rows"):
        lost[part] += rows
    chunks.delete()
    return lost


def _ids(version: DataSetVersion, part: ChunkPart) -> list[int]:
    with tenant_scope(version.tenant_id):
        chunks = DataSetChunk.objects.filter(version=version, part=part)
        return list(chunks.order_by("number").values_list("pk", flat=True))
