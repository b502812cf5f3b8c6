"""Debian machines with systemd and sshd, in namespaces of this one: for Ansible they are hosts."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.servers.child import Child, wait_until_listening
from config.environment import PROJECT
from tests.hosts.network import Namespace, network

BOOT = Path(__file__).with_name("boot.sh")
BASE = Path(os.environ.get("FOREBAY_TEST_ANSIBLE_BASE", PROJECT / "var" / "ansible" / "debian"))
# What the roles install: a machine in a namespace reaches no package server.
PACKAGES = (
    "systemd systemd-sysv dbus openssh-server python3 python3-venv python3-apt sudo iproute2 "
    "procps curl git git-lfs postgresql valkey-server haproxy prometheus pgbackrest "
    "patroni python3-etcd etcd-server etcd-client valkey-sentinel"
)
STARTED_BY_ROLES = "postgresql valkey-server haproxy prometheus patroni etcd valkey-sentinel"
_NAMESPACES = "--mount --pid --uts --ipc --cgroup --fork --kill-child --propagation private"
_SSH = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"


class Machine:
    def __init__(self, place: Namespace, folder: Path, key: Path) -> None:
        self.place, self.folder, self._key = place, folder, key
        ssh = folder / "changes" / "root" / ".ssh"
        ssh.mkdir(parents=True, mode=0o700)
        shutil.copy(f"{key}.pub", ssh / "authorized_keys")
        self.start()

    @property
    def address(self) -> str:
        return self.place.address

    def start(self) -> None:
        boot = ["sh", str(BOOT), self.place.name, str(BASE), str(self.folder)]
        command = [*self.place.prefix, "unshare", *_NAMESPACES.split(), *boot]
        self._init = Child(command, self.folder / "console.log")
        wait_until_listening(22, 120, self.address)

    def stop(self) -> None:
        """Kill it, as a power cut does."""
        self._init.process.kill()
        self._init.process.wait()

    def run(self, command: str, text: str = "") -> str:
        """Returns the output of a shell command. Raises CalledProcessError."""
        ssh = ["ssh", *_SSH.split(), "-i", str(self._key), f"root@{self.address}", command]
        ended = subprocess.run(ssh, input=text, capture_output=True, text=True, timeout=300)
        if ended.returncode:
            raise subprocess.CalledProcessError(
                ended.returncode, command, ended.stdout, ended.stderr
            )
        return ended.stdout

    def write(self, path: str, text: str) -> None:
        self.run(f"mkdir -p $(dirname {path}) && cat > {path}", text)


@contextmanager
def machines(folder: Path, number: int) -> Iterator[list[Machine]]:
    """Skips the test where nobody may make them."""
    if os.geteuid() or not (BASE.exists() or shutil.which("debootstrap")):
        pytest.skip("machines take root and debootstrap")
    make_base()
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    with network() as net:
        made = list[Machine]()
        try:
            for index in range(number):
                machine_folder = folder / f"machine{index}"
                machine_folder.mkdir()
                made.append(Machine(net.host(), machine_folder, key))
            yield made
        finally:
            for machine in made:
                machine.stop()
                shutil.rmtree(machine.folder, ignore_errors=True)


def make_base() -> None:
    """Make the files that all machines share, once: a Debian with the packages of the roles."""
    if BASE.exists():
        return
    draft = BASE.with_name(f"{BASE.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.parent.mkdir(parents=True, exist_ok=True)
    _run("debootstrap", "--variant=minbase", "--include=ca-certificates", "trixie", str(draft))
    shutil.copy("/etc/resolv.conf", draft / "etc" / "resolv.conf")
    refusal = draft / "usr" / "sbin" / "policy-rc.d"  # nothing starts while it is made
    refusal.write_text("#!/bin/sh\nexit 101\n")
    refusal.chmod(0o755)
    install = f"apt-get update -q && apt-get install -qy --no-install-recommends {PACKAGES}"
    _run("chroot", str(draft), "env", "DEBIAN_FRONTEND=noninteractive", "sh", "-c", install)
    _run("chroot", str(draft), "apt-get", "clean")
    _run("systemctl", f"--root={draft}", "disable", *STARTED_BY_ROLES.split())
    refusal.unlink()
    draft.rename(BASE)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
