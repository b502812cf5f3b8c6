"""`forebay restore`: a backup becomes the database of a home.

Everything happens in a folder beside the database's, erasures included; only then it takes the
place. An interruption leaves the home as it was.
"""

import os
import shutil
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from config.backup import rollback
from config.backup.kind import Kind
from config.backup.kinds.embedded import Embedded
from config.backup.recovery import Recovered, choose, recovered
from config.backup.restoring import restored_copy
from config.backup.storage.repository import Repository
from config.backup.storage.sealed import Unreadable
from config.backup.storage.writer import Writer
from config.backup.witness_files import WitnessFiles
from config.supervisor.embedded import lock_files
from config.supervisor.embedded.postgres import PASSWORDS, SET_ASIDE
from config.supervisor.home import Home
from config.supervisor.options import SHARED_KEYS
from config.supervisor.terminal import RunProblem, done, say
from console.backups.record import Progress

_SHOWN = 10  # versions of models in a line


class Restoration:
    """The home must be locked: nothing runs on it meanwhile."""

    def __init__(
        self, home: Home, kind: Kind, data: Path, *, replaces: bool, despite_findings: bool = False
    ) -> None:
        self._home, self._kind, self._data, self._replaces = home, kind, data, replaces
        self._despite_findings = despite_findings

    def run(self, at: datetime | None, label: str) -> None:
        """Raises RunProblem; then the home is as it was."""
        if self._data.exists() and not self._replaces:
            raise RunProblem(
                f"{self._data} has a database: --replace sets it aside, or set FOREBAY_HOME to "
                "another folder"
            )
        _refuse_running(self._data)
        is_embedded = isinstance(self._kind, Embedded)
        _refuse_missing_keys(self._home.secrets, PASSWORDS if is_embedded else ())
        base = choose(self._kind, at, label)
        say(f"Restoring {base.label}")
        draft = self._data.with_name(f"{self._data.name}.restored")
        shutil.rmtree(draft, ignore_errors=True)  # of an interrupted restore
        if isinstance(self._kind, Embedded):
            self._take_witness(self._kind.repository, complete=not (at or label))
        with recovered(self._kind, base, draft, at) as (url, result):
            done(f"restored up to {_moment(result)}")
            restored_copy.refuse_other_tables(url)
            restored_copy.check_keys(url)
            restored_copy.erase_again(url)
            done("erased again who was erased since")
            restored_copy.resume_sealing(
                url,
                self._home.root / "witness" / "checkpoints.jsonl",
                despite_findings=self._despite_findings,
            )
            done("the audit trail is whole, and goes on")
            missing_models = _models_without_files(url)
        self._take_place(draft)
        if result.missing:
            say(f"{result.missing} segments of the log were never stored: it ends before them")
        if missing_models:
            say(f"No backup has files of models: {missing_models}")
        say("Start the platform now. The next base backup is made at once")

    def _take_witness(self, repository: Repository, *, complete: bool) -> None:
        """Bring the witness here up to what is stored, and say what is gone from the place.

        Raises RunProblem where lines of the witness are gone: erased people would come back.
        """
        here = self._home.root / "witness"
        try:
            WitnessFiles(repository, self._home).take()
        except Unreadable as problem:
            self._refuse_lost_erasures([str(problem)], here)
        writer = _last_writer(repository)
        if writer is None:
            say("Nothing in the place says how far it was written: compare the last moment below")
            return
        say(f"{writer.host} last wrote there at {_text(writer.at)}")
        known = {name: size for name, size in writer.witness.items() if _size(here / name) < size}
        lines = _missing_lines(repository, known)
        if lines:
            self._refuse_lost_erasures(lines, here)
        if complete:
            lines = [
                *lines,
                *rollback.missing_objects(
                    repository, stored=writer.stored, base=writer.base, witness={}
                ),
            ]
        for line in lines:
            say(f"Somebody has changed the place: {line}")

    def _refuse_lost_erasures(self, lines: list[str], folder: Path) -> None:
        """Raises RunProblem, unless the operator goes on without those lines."""
        if not self._despite_findings:
            raise RunProblem(
                f"{'; '.join(lines)}: people whose erasure is in them would come back. Put the "
                f"file from another copy into {folder}, or add --despite-findings"
            )

    def _take_place(self, draft: Path) -> None:
        """Backups forget the old database before it goes: an interruption costs a base at most."""
        _refuse_running(self._data)
        shutil.rmtree(self._home.root / "backup" / "wal", ignore_errors=True)
        Progress().write(self._home.root)
        if self._data.exists():
            now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
            aside = self._data.with_name(f"{self._data.name}{SET_ASIDE}{now}")
            self._data.rename(aside)
            say(f"The database of before is in {aside}")
        draft.rename(self._data)
        _make_durable(self._data.parent)


def _models_without_files(url: str) -> str:
    """Returns what is to be put back beside the database, in one line; "" for nothing."""
    try:
        names = restored_copy.models_without_files(url)
    except RunProblem as problem:
        return f"whether they are there is unknown ({problem})"
    shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    remedy = "put FOREBAY_MODEL_STORE back (docs/operations/backup.md)"
    return f"those of {len(names)} versions are missing ({shown}): {remedy}" if names else ""


def _last_writer(repository: Repository) -> Writer | None:
    """Returns None where there is none, or one that somebody has changed. Raises StoreError."""
    try:
        return Writer.read(repository)
    except Unreadable as problem:
        say(f"Somebody has changed the place: {problem}")
        return None


def _missing_lines(repository: Repository, sizes: Mapping[str, int]) -> list[str]:
    """Returns what is gone of the witness; an unreadable one has lost everything."""
    try:
        return rollback.missing_witness_lines(repository, sizes)
    except Unreadable as problem:
        return [str(problem)]


def _make_durable(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refuse_running(data: Path) -> None:
    """Raises RunProblem: a database that runs must not be moved away from under it."""
    if process := lock_files.server_on(data):
        raise RunProblem(f"PostgreSQL runs on {data} (process {process}): stop it first")


def _refuse_missing_keys(secrets: Path, passwords: Iterable[str]) -> None:
    """Raises RunProblem: a first start would make new ones, which open nothing."""
    missing = [
        file
        for name, file, replacement in SHARED_KEYS
        if not (os.environ.get(name) or os.environ.get(replacement) or (secrets / file).exists())
    ]
    missing += [file for file in passwords if not (secrets / file).exists()]
    if missing:
        raise RunProblem(
            f"{', '.join(missing)} missing in {secrets}: without the keys nothing can be read. "
            "Pass --kit, or put the files there"
        )


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _text(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")


def _moment(result: Recovered) -> str:
    return result.last_commit.isoformat() if result.last_commit else result.base.ended_at
