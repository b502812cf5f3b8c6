"""The ports of the processes' metrics, and the list of them for Prometheus.

The list is a file that Prometheus reads by `file_sd_configs`, and reads again when it changes:
FOREBAY_HOME/metrics/targets.json. A process that has died stays on it, and is `up == 0` there. A
process that systemd starts by itself has a list of its own in the same folder.
"""

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from config.environment import has_tls
from config.supervisor import ports
from config.supervisor.home import Home
from config.supervisor.options import MOST_SCRAPED
from config.supervisor.terminal import RunProblem
from infrastructure.private_file import exclusive

_ANYWHERE = ("0.0.0.0", "::", "")  # noqa: S104


class Target(NamedTuple):
    port: int
    role: str
    number: int  # among those of its role, from 1 on; of a `forebay worker` among its engine's


class ScrapeTargets:
    """The list of a supervisor, or of one process. `first`: the lowest port; 0: none listens."""

    def __init__(self, home: Home, first: int, name: str = "targets") -> None:
        self._folder, self._first = home.root / "metrics", first
        self.file = self._folder / f"{name}.json"
        self.host = os.environ.get("FOREBAY_METRICS_HOST") or "127.0.0.1"
        self._targets: dict[str, Target] = {}  # by the process's name

    def variables(self, process: str, role: str, number: int = 1) -> Mapping[str, str]:
        """Return the variables that give a process its port, and list it.

        Raises RunProblem, OSError.
        """
        if not self._first:
            return {}
        target = self._targets.get(process) or Target(self._free_port(), role, number)
        self._targets[process] = target
        self._write()
        return {"FOREBAY_METRICS_PORT": str(target.port)}

    def clear(self) -> None:
        """Empty the list, because nothing runs."""
        self._targets = {}
        if self._first or self.file.exists():
            self._write()

    def _free_port(self) -> int:
        """Returns a port that is on no other list: one that this list had, or the lowest."""
        listed = {target.port for target in self._targets.values()}
        others = (file for file in self._folder.glob("*.json") if file != self.file)
        listed = listed.union(*map(_listed_ports, others))
        own = _listed_ports(self.file)
        candidates: list[int] = [*own, *range(self._first, self._first + MOST_SCRAPED)]
        for port in candidates:
            if port not in listed and ports.is_free(self.host, port):
                return port
        raise RunProblem(
            f"no free port for metrics from {self._first} on: set FOREBAY_METRICS_PORT to another"
        )

    def _write(self) -> None:
        """Write the list whole or not at all, readable for Prometheus, which is another user."""
        self._folder.mkdir(exist_ok=True)
        self._folder.chmod(0o755)  # regardless of the umask
        draft = self.file.with_name(f".{self.file.stem}.draft")
        host = socket.gethostname() if self.host in _ANYWHERE else self.host
        host = f"[{host}]" if ":" in host else host
        tls = {"__scheme__": "https"} if has_tls() else {}
        listed = [
            {
                "targets": [f"{host}:{port}"],
                "labels": {"process": name, "role": role, "number": str(number), **tls},
            }
            for name, (port, role, number) in self._targets.items()
        ]
        draft.write_text(json.dumps(listed, indent=2) + "\n")
        draft.chmod(0o644)
        draft.replace(self.file)


def take_own_port(home: Home, first: int, process: str, role: str, number: int) -> None:
    """Give this process the first port that is free and on no list of this home, and list it.

    It keeps the one that it had when it ran last. Raises RunProblem, OSError.
    """
    targets = ScrapeTargets(home, first, process)
    targets.file.parent.mkdir(exist_ok=True)
    # Units start at once, and each looks which ports the others have.
    with exclusive(targets.file.with_name("ports")):
        os.environ |= targets.variables(process, role, number)


def _listed_ports(file: Path) -> set[int]:
    try:
        targets = json.loads(file.read_text())
        return {int(each["targets"][0].rpartition(":")[2]) for each in targets}
    except (OSError, ValueError, LookupError, TypeError):
        return set()
