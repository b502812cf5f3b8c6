"""Before the platform starts: tables, static files, the first sign-in."""

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from config import environment
from config.supervisor.child import Child, Stage
from config.supervisor.home import Home
from config.supervisor.keeper import Keeper
from config.supervisor.options import Options
from config.supervisor.screen import done


@dataclass(frozen=True)
class FirstRun:
    operator_link: str | None = None
    demo_tenant: str | None = None
    demo_api_key: str | None = None


class Preparing:
    def __init__(self, home: Home, keeper: Keeper, variables: Mapping[str, str]) -> None:
        self._home, self._keeper, self._variables = home, keeper, variables
        self.first_run = FirstRun()

    async def migrate(self, administrator: Mapping[str, str]) -> None:
        await self._keeper.run(self._manage("migrate", "--noinput", also=administrator))
        done("tables ready")

    async def collect_static(self, told: Options) -> None:
        """Skipped while nothing that it would copy has changed."""
        if not told.has("web"):
            return
        mark = self._home.root / "static" / ".fingerprint"
        now = _fingerprint()
        if mark.exists() and mark.read_text() == now:
            return
        await self._keeper.run(self._manage("collectstatic", "--noinput"))
        mark.write_text(now)
        done("static files ready")

    async def prepare_start(self, *, first_run: bool) -> None:
        """The keys are the right ones, nobody who was erased is back, somebody can sign in."""
        answer = self._home.run / "first_run.json"
        self._home.write_private(answer, "")
        with answer.open("wb") as output:
            child = self._manage("prepare_start", *([] if first_run else ["--no-first-run"]))
            await self._keeper.run(child, output=output.fileno())
        found = json.loads(answer.read_text())
        answer.unlink()
        self.first_run = FirstRun(**found)

    def _manage(
        self, command: str, *arguments: str, also: Mapping[str, str] | None = None
    ) -> Child:
        line = [sys.executable, "manage.py", command, *arguments]
        variables = {**self._variables, **(also or {})}
        return self._keeper.child(command, line, variables, stage=Stage.WORK)


def _fingerprint() -> str:
    """Our own files by size and time; those of installed packages by the lock file's."""
    digest = hashlib.sha256()
    for path in sorted(_sources()):
        state = path.stat()
        digest.update(f"{path}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _sources() -> Iterator[Path]:
    project = environment.PROJECT
    yield project / "requirements" / "base.txt"
    yield project / "platform" / "config" / "settings.py"
    for folder in ("static", "*/static", "platform/*/static"):
        yield from (path for top in project.glob(folder) for path in top.rglob("*"))
