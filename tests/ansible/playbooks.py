"""`ansible-playbook` of the locked environment, with the collection of this checkout."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from config.environment import PROJECT
from tests.ansible.machines import Machine

VENV = PROJECT / ".venv-ansible"
COLLECTION = PROJECT / "deploy" / "ansible"
CONFIGURATION = """
[defaults]
host_key_checking = false
timeout = 10
forks = 5
nocows = true
interpreter_python = /usr/bin/python3
[ssh_connection]
pipelining = true
ssh_args = -o ControlMaster=auto -o ControlPersist=300 -o UserKnownHostsFile=/dev/null
"""


@dataclass(frozen=True)
class Ended:
    """A run of a playbook: its exit code, its output, and what each host counts in its recap."""

    code: int
    output: str

    def count(self, host: str, what: str) -> int:
        recap = re.search(rf"^{re.escape(host)} .*?\b{what}=(\d+)", self.output, re.M)
        assert recap, self.output[-6000:]
        return int(recap[1])

    @property
    def changed(self) -> list[str]:
        """Returns the names of tasks that changed something."""
        names = list[str]()
        for block in re.split(r"^TASK \[", self.output, flags=re.M)[1:]:
            if re.search(r"^changed: ", block, re.M):
                names.append(block.partition("]")[0])
        return names


class Playbooks:
    """Runs playbooks with an inventory of hosts, groups and variables."""

    def __init__(self, folder: Path, key: Path) -> None:
        self._folder, self._key = folder, key
        self.hosts: dict[str, dict[str, Any]] = {}
        self.groups: dict[str, list[str]] = {}
        self.variables: dict[str, Any] = {}
        (folder / "ansible.cfg").write_text(CONFIGURATION)

    def add(self, name: str, machine: Machine, *groups: str, **variables: Any) -> None:
        connection = {
            "ansible_host": machine.address,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(self._key),
        }
        self.hosts[name] = connection | variables
        for group in groups:
            self.groups.setdefault(group, []).append(name)

    def start(self, playbook: str, *options: str, **variables: Any) -> "subprocess.Popen[str]":
        command = [str(VENV / "bin" / "ansible-playbook"), "-i", str(self._inventory()), playbook]
        extra = ["-e", json.dumps(variables)] if variables else []
        return subprocess.Popen(
            [*command, *extra, *options],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def kill_at(self, playbook: str, task: str, **variables: Any) -> None:
        """Kill a run as this task begins, or let it end where it does not come so far."""
        with self.start(playbook, **variables) as process:
            assert process.stdout
            for line in process.stdout:
                if line.startswith("TASK [") and task in line:
                    os.killpg(process.pid, signal.SIGKILL)
                    break

    def run(self, playbook: str, *options: str, **variables: Any) -> Ended:
        process = self.start(playbook, *options, **variables)
        output, _ = process.communicate()
        return Ended(process.returncode, output)

    def succeed(self, playbook: str, *options: str, **variables: Any) -> Ended:
        ended = self.run(playbook, *options, **variables)
        assert ended.code == 0, ended.output[-8000:]
        return ended

    def _inventory(self) -> Path:
        groups = {name: {"hosts": dict.fromkeys(hosts)} for name, hosts in self.groups.items()}
        inventory = {
            "all": {"hosts": self.hosts, "children": groups, "vars": self.variables},
        }
        file = self._folder / "inventory.yml"
        file.write_text(yaml.safe_dump(inventory))
        return file

    @property
    def _environment(self) -> Mapping[str, str]:
        own = {name: text for name, text in os.environ.items() if not name.startswith("FOREBAY_")}
        return own | {
            "ANSIBLE_CONFIG": str(self._folder / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(VENV / "collections"),
            "ANSIBLE_NOCOLOR": "1",
            "PATH": f"{VENV / 'bin'}:{os.environ['PATH']}",
        }
