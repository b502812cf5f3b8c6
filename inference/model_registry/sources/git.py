"""Fetches one revision of a repository over https by the program git.

Nothing of the repository is run: no hook, no filter, no submodule, and git reads no configuration
of this host. The address that was checked is the one that git asks. Large files of Git LFS are
fetched where git-lfs is installed, for operators alone: its server may send it anywhere.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

from inference.model_registry.headers.header import BadFile
from inference.model_registry.sources.hosts import Place, place_of
from inference.model_registry.sources.progress import Budget
from infrastructure import outgoing_tls

REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
LOOK_S = 0.5
MOST_ENTRIES, BLOCK = 20_000, 512  # files and folders, git's own too; bytes that each takes
_SETTINGS = (
    "core.symlinks=false",
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "http.followRedirects=false",
    "protocol.allow=never",
    "protocol.https.allow=always",
    "transfer.fsckObjects=true",
)


class Repository:
    def __init__(self, url: str, folder: Path, budget: Budget, *, by_tenant: bool) -> None:
        """Raises BadFile."""
        self._url, self._folder, self._budget = url, folder, budget
        self._by_tenant = by_tenant
        self._options = _options(place_of(url, by_tenant=by_tenant))

    def check_out(self, revision: str) -> str:
        """Returns the id of the commit whose files are in the folder. Raises BadFile, Stopped."""
        if not REVISION.fullmatch(revision):
            raise BadFile("a revision is a branch, a tag or the id of a commit")
        self._run("init", "--quiet", "--template=")
        self._run("fetch", "--quiet", "--depth=1", "--no-tags", self._url, revision)
        self._run("checkout", "--quiet", "FETCH_HEAD")
        commit = (self._folder / ".git" / "HEAD").read_text().strip()
        if not self._by_tenant and shutil.which("git-lfs"):
            self._run("lfs", "install", "--local")
            self._run("-c", f"lfs.url={self._url.rstrip('/')}/info/lfs", "lfs", "pull")
        shutil.rmtree(self._folder / ".git")
        return commit

    def _run(self, *words: str) -> None:
        """Run git, and end it when it has written too much. Raises BadFile, Stopped."""
        process = subprocess.Popen(
            ["git", *self._options, *words],
            cwd=self._folder,
            env=_environment(self._folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            self._watch(process)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if process.returncode:
            raise BadFile(f"git cannot {words[0]} this: is the revision there, without a password?")

    def _watch(self, process: "subprocess.Popen[bytes]") -> None:
        while process.poll() is None:
            self._look()
            time.sleep(LOOK_S)
        self._look()

    def _look(self) -> None:
        """Compare what git has written so far with the room. Raises BadFile, Stopped."""
        replace(self._budget).spend(_size(self._folder))


def is_installed() -> bool:
    return shutil.which("git") is not None


def _size(folder: Path) -> int:
    """Returns the bytes that are there at this moment, while git writes others.

    Empty files and folders take room, too: a repository of some kilobytes can have millions.
    Raises BadFile.
    """
    size = count = 0
    for top, folders, names in os.walk(folder):
        if (count := count + len(folders) + len(names)) > MOST_ENTRIES:
            raise BadFile(f"there are more than {MOST_ENTRIES} files, or too many folders")
        for name in names:
            with contextlib.suppress(OSError):
                size += os.lstat(os.path.join(top, name)).st_size
    return size + count * BLOCK


def _options(place: Place) -> list[str]:
    address = f"[{place.address}]" if ":" in place.address else place.address
    pinned = f"http.curloptResolve={place.host}:{place.port}:{address}"
    settings = [*_SETTINGS, pinned]
    if authorities := outgoing_tls.peer_of(place.host).authorities:
        settings.append(f"http.sslCAInfo={authorities}")
    return [word for setting in settings for word in ("-c", setting)]


def _environment(folder: Path) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "GIT_ALLOW_PROTOCOL": "https",
        "GIT_LFS_SKIP_SMUDGE": "1",
    }
