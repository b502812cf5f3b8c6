"""The kit: FOREBAY_HOME/secrets in one file, locked with a passphrase in age's format.

Backups do not open without it: it has the backups' key, the master key unless a KMS holds that, and
the signing key. `age --decrypt KIT | tar -t` shows what is in it.
"""

import getpass
import io
import os
import sys
import tarfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pyrage

from audit.keys.master_keys.local import OLDER
from audit.keys.master_keys.platform_secret import VARIABLE as PLATFORM_SECRET
from config import environment
from config.supervisor.home import Home
from config.supervisor.options import SHARED_KEYS
from config.supervisor.terminal import RunProblem
from console.backups.record import Verified
from infrastructure import private_file

_SHORTEST = 12  # characters; age makes each guess take a second


def passphrase(*, twice: bool) -> str:
    """Ask at the terminal, or read FOREBAY_BACKUP_PASSPHRASE_FILE. Raises RunProblem."""
    if file := environment.variable("FOREBAY_BACKUP_PASSPHRASE_FILE"):
        return _long_enough(_text(Path(file)).strip())
    if not sys.stdin.isatty():
        raise RunProblem("no terminal to ask at: set FOREBAY_BACKUP_PASSPHRASE_FILE")
    words = _long_enough(getpass.getpass("Passphrase of the kit: "))
    if twice and getpass.getpass("The same again: ") != words:
        raise RunProblem("the two differ: nothing was written")
    return words


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except UnicodeDecodeError:
        raise RunProblem(f"{file} is no text in UTF-8") from None


def write(home: Path, file: Path, words: str) -> None:
    """Raises RunProblem."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in _secrets(home).items():
            entry = tarfile.TarInfo(f"secrets/{name}")
            entry.size, entry.mode = len(content), 0o600
            tar.addfile(entry, io.BytesIO(content))
    locked = pyrage.passphrase.encrypt(archive.getvalue(), words)
    draft = file.with_name(f"{file.name}.new")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as target:
        target.write(locked)
        os.fsync(target.fileno())
    draft.replace(file)


def elsewhere() -> list[str]:
    """Returns the variables that hold a secret which no kit has."""
    names = [name for names in SHARED_KEYS for name in names[::2]]
    return [name for name in (*names, PLATFORM_SECRET, OLDER) if os.environ.get(name)]


def check(home: Path, file: Path, words: str) -> None:
    """Raises RunProblem unless the kit opens and has every secret of this home, as it is now."""
    contents = read(file, words)
    differing = [name for name, content in _secrets(home).items() if contents.get(name) != content]
    if differing:
        raise RunProblem(f"{file} is out of date ({', '.join(differing)}): write it again")
    replace(Verified.read(home), kit_at=time.time()).write(home)


def unpack(file: Path, words: str, home: Home) -> list[str]:
    """Write secrets that this home lacks; return their names.

    Raises RunProblem if it has others: one of the two belongs to another installation.
    """
    contents = read(file, words)
    present = {name for name in contents if (home.secrets / name).exists()}
    others = sorted(n for n in present if (home.secrets / n).read_bytes() != contents[n])
    if others:
        raise RunProblem(
            f"{file} has other secrets than {home.secrets} ({', '.join(others)}): move those here "
            "away to take the kit's, or leave out --kit to use them"
        )
    written = sorted(contents.keys() - present)
    for name in written:
        private_file.replace(home.secrets / name, contents[name].decode())
    return written


def read(file: Path, words: str) -> dict[str, bytes]:
    """Returns the content of each secret. Raises RunProblem."""
    try:
        archive = pyrage.passphrase.decrypt(file.read_bytes(), words)
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            entries = {
                Path(entry.name).name: tar.extractfile(entry) for entry in tar if entry.isreg()
            }
            return {name: entry.read() for name, entry in entries.items() if entry}
    except (pyrage.DecryptError, tarfile.TarError) as error:
        raise RunProblem(f"{file} does not open with this passphrase ({error})") from None


def _secrets(home: Path) -> Mapping[str, bytes]:
    """Raises RunProblem if there are none: a kit of nothing would look like one that is whole."""
    folder = home / "secrets"
    files = sorted(file for file in folder.glob("[!.]*") if file.is_file())
    if not files:
        raise RunProblem(
            f"there are no secrets in {folder}: set FOREBAY_HOME to the folder of the platform "
            "whose backups the kit is to open"
        )
    return {file.name: file.read_bytes() for file in files}


def _long_enough(words: str) -> str:
    if len(words) < _SHORTEST:
        raise RunProblem(f"a passphrase has {_SHORTEST} characters or more: take several words")
    return words
