"""Management commands that run before the platform starts: migrations, and the first sign-in."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from config.supervisor.child import Child, Stage
from config.supervisor.home import Home
from config.supervisor.keeper import Keeper
from config.supervisor.terminal import done


@dataclass(frozen=True)
class FirstRun:
    operator_link: str | None = None
    demo_tenant: str | None = None
    demo_api_key: str | None = None


class Preparation:
    def __init__(self, home: Home, keeper: Keeper, variables: Mapping[str, str]) -> None:
        self._home, self._keeper, self._variables = home, keeper, variables
        self.first_run = FirstRun()

    async def migrate(self, administrator: Mapping[str, str]) -> None:
        """Run `migrate` without Django's checks: they load every page.

        Web processes check tables.
        """
        command = ("migrate", "--noinput", "--skip-checks")
        await self._keeper.run(self._manage(*command, also=administrator))
        done("tables ready")

    async def prepare_start(self, *, first_run: bool) -> None:
        """Check the keys, erase again what a restore brought back, and make the first sign-in."""
        answer_file = self._home.run / "first_run.json"
        self._home.write_private(answer_file, "")
        with answer_file.open("wb") as output:
            command = self._manage("prepare_start", *([] if first_run else ["--no-first-run"]))
            await self._keeper.run(command, output=output.fileno())
        first_run_fields = json.loads(answer_file.read_text())
        answer_file.unlink()
        self.first_run = FirstRun(**first_run_fields)

    def _manage(
        self, command: str, *arguments: str, also: Mapping[str, str] | None = None
    ) -> Child:
        line = [sys.executable, "-m", "config.command", "manage", command, *arguments]
        variables = {**self._variables, **(also or {})}
        return self._keeper.child(command, line, variables, stage=Stage.WORK)
