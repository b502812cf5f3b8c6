"""Base backups: the whole cluster as one tar, and the record of where its log begins."""

import re
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from config.backup.cluster import Cluster
from config.backup.kind import Base
from config.backup.storage.repository import Repository
from config.backup.storage.sealed import Source, Target, Unreadable
from config.backup.write_ahead_log.positions import Segment, position
from config.supervisor.terminal import RunProblem
from infrastructure.release import VERSION

_COPY = (
    "--pgdata=- --format=tar --wal-method=fetch --checkpoint=fast"
    " --no-manifest --no-password --verbose"
)
_LABEL = "%Y%m%dT%H%M%SZ"
_MANIFEST = "/manifest.json"
_POINT = re.compile(r"write-ahead log (start|end) point: ([0-9A-F]+/[0-9A-F]+)")
_TIMELINE = re.compile(r"start point: \S+ on timeline (\d+)")


@dataclass(frozen=True, slots=True)
class StoredBase(Base):
    """The label is the moment of its beginning, UTC."""

    timeline: int
    begins: int  # position in the log that a restore reads from
    ends: int  # position from which the restored database is consistent
    segment_bytes: int
    forebay: str

    @property
    def first_segment(self) -> Segment:
        return Segment.at(self.timeline, self.begins, self.segment_bytes)

    @property
    def last_segment(self) -> Segment:
        return Segment.at(self.timeline, self.ends - 1, self.segment_bytes)

    @property
    def began_at(self) -> datetime:
        return datetime.strptime(self.label, _LABEL).replace(tzinfo=UTC)

    @property
    def next_label(self) -> str:
        return (self.began_at + timedelta(seconds=1)).strftime(_LABEL)


def take(repository: Repository, cluster: Cluster) -> StoredBase:
    """Copy the running cluster into the repository. Raises RunProblem, StoreError.

    The tar has the log that it needs, so that it opens without any other object. A second one at
    the same time is refused.
    """
    with cluster.only_one_base():
        return _take(repository, cluster, _new_label(repository))


def _new_label(repository: Repository) -> str:
    """Returns the present second, or the next one of which there is no base.

    Labels sort as bases were made, even if the clock was ahead for a time.
    """
    known = {name.partition("/")[0] for name in repository.names("base")}
    while (label := datetime.now(UTC).strftime(_LABEL)) in known:
        time.sleep(0.05)
    last = all_bases(repository)[-1:]
    return label if not last or label > last[0].label else last[0].next_label


def _take(repository: Repository, cluster: Cluster, label: str) -> StoredBase:
    with subprocess.Popen(
        [str(cluster.programs / "pg_basebackup"), *_COPY.split(), f"--label=forebay {label}"],
        env=cluster.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as copying:
        assert copying.stdout
        assert copying.stderr
        try:
            content = _Counted(copying.stdout)
            stored = repository.put_stream(_tar(label), content)
            report = copying.stderr.read().decode(errors="replace")
        except BaseException:
            copying.kill()
            raise
    if copying.returncode:
        repository.delete(_tar(label))
        raise RunProblem(f"pg_basebackup: {report.strip().splitlines()[-1]}")
    base = _base(label, report, cluster, stored, content.bytes)
    repository.put(_manifest(label), msgspec.json.encode(base))
    return base


def all_bases(repository: Repository) -> list[StoredBase]:
    """Returns the whole ones, oldest first.

    One manifest that somebody has changed does not hide the others. Raises StoreError, and
    Unreadable if none opens: the key is another one.
    """
    manifests = _manifests(repository)
    known = [each for each in manifests if isinstance(each, StoredBase)]
    if manifests and not known:
        raise next(each for each in manifests if isinstance(each, Unreadable))
    return known


def damaged(repository: Repository) -> list[Unreadable]:
    """Returns why manifests do not open, one problem for each. Raises StoreError."""
    return [each for each in _manifests(repository) if isinstance(each, Unreadable)]


def _manifests(repository: Repository) -> list[StoredBase | Unreadable]:
    names = (name for name in repository.names("base") if name.endswith(_MANIFEST))
    return [_manifest_content(repository, name) for name in names]


def _manifest_content(repository: Repository, name: str) -> StoredBase | Unreadable:
    try:
        return msgspec.json.decode(repository.get(f"base/{name}"), type=StoredBase)
    except Unreadable as problem:
        return problem
    except msgspec.DecodeError as error:
        return Unreadable(f"base/{name} is of another version of Forebay ({error})")


def copy_tar(repository: Repository, base: StoredBase, target: Target) -> None:
    """Raises StoreError, sealed.Unreadable: then what was written is of no use."""
    repository.get_stream(_tar(base.label), target)


def discard(repository: Repository, base: StoredBase) -> None:
    """Delete the manifest first: a base without one does not count."""
    repository.delete(_manifest(base.label))
    repository.delete(_tar(base.label))


def discard_unfinished(repository: Repository, before: str) -> None:
    """Delete what has no manifest and began before a base: its process was killed."""
    labels = {name.partition("/")[0]: name for name in sorted(repository.names("base"))}
    for label, last_name in labels.items():
        if label < before and not last_name.endswith(_MANIFEST):
            repository.delete(_tar(label))


class _Counted:
    """A source that counts what is read from it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.bytes = 0

    def read(self, size: int) -> bytes:
        part = self._source.read(size)
        self.bytes += len(part)
        return part


def _base(label: str, report: str, cluster: Cluster, stored: int, content: int) -> StoredBase:
    points = dict(_POINT.findall(report))
    timeline = _TIMELINE.search(report)
    assert timeline
    return StoredBase(
        label=label,
        timeline=int(timeline[1]),
        begins=position(points["start"]),
        ends=position(points["end"]),
        segment_bytes=cluster.segment_bytes,
        stored_bytes=stored,
        content_bytes=content,
        ended_at=datetime.now(UTC).isoformat(timespec="seconds"),
        forebay=VERSION,
        postgresql=cluster.version,
    )


def _tar(label: str) -> str:
    return f"base/{label}/base.tar"


def _manifest(label: str) -> str:
    return f"base/{label}{_MANIFEST}"
