"""From the last release to this version while requests come, as docs/operations/upgrade.md has it:
migrate, then workers, then web. None fails, and the books are exact.
"""

import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench.servers.child import Child
from config.environment import PROJECT
from infrastructure import release
from tests.e2e.ask import eventually
from tests.hosts.hosts import DataHost, Host, MockEngine, engines
from tests.hosts.load import ODD, Load
from tests.hosts.network import Network, network
from tests.upgrades.old_version import OldVersion

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not os.environ.get("FOREBAY_TEST_UPGRADE"), reason="make soak has it (FOREBAY_TEST_UPGRADE)"
    ),
]
START_S = 90
NEXT_TO_EACH_OTHER_S = 8.0


class Upgrade:
    """A: PostgreSQL, Valkey and the engine. Old and new web and workers have a host each."""

    def __init__(self, net: Network, folder: Path) -> None:
        self._net, self._folder = net, folder
        self.old = OldVersion(folder / "old")
        place = net.host()
        self.data = DataHost(place, folder, self.old.prepare)
        self._engine = MockEngine(place, folder, tokens=20, **{"interval-ms": 20})
        self._hosts: list[Host] = []
        self.door = self.start("web,grpc,jobs", self.old.tree)
        self.work = self.start("workers", self.old.tree)
        for host in self._hosts:
            eventually(host.is_ready, START_S)

    def start(self, roles: str, tree: Path = PROJECT) -> Host:
        told = dict(self.data.shared)
        if "workers" in roles:
            told["FOREBAY_ENGINES"] = engines(a=self._engine.url)
        folder = self._folder / f"host{len(self._hosts)}"
        self._hosts.append(Host(self._net.host(), folder, roles, told, tree))
        return self._hosts[-1]

    def migrate(self) -> Child:
        """By this version, as the administrator."""
        env = {**os.environ, **self.data.shared, **self.data.administrator}
        env["FOREBAY_HOME"] = str(self.data.home)
        command = [sys.executable, "manage.py", "migrate", "--noinput"]
        return Child(command, self._folder / "migrate.log", env)

    def load(self) -> Load:
        return Load(self.door.url, self.data.key, 8)

    def books_are_right(self) -> None:
        open_ones = "select count(*) from inference_completion where state = 'open'"
        eventually(lambda: self.data.ask(open_ones) == [(0,)], 60)
        assert self.data.ask(ODD) == []
        self.data.manage("reconcile", "--day", f"{datetime.now(UTC):%Y-%m-%d}")

    def stop(self) -> None:
        for host in self._hosts:
            host.lose()
        self._engine.child.stop()
        self.data.stop()


@pytest.fixture(scope="module")
def upgrade(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgrade]:
    folder = tmp_path_factory.mktemp("upgrade")
    folder.chmod(0o755)  # PostgreSQL runs as another user
    with network() as net:
        made = Upgrade(net, folder)
        try:
            yield made
        finally:
            made.stop()


def test_the_new_version_does_not_start_before_the_migration(upgrade: Upgrade) -> None:
    for roles in ("web", "workers", "jobs"):
        early = upgrade.start(roles)
        assert early.child.process.wait(START_S) == 1
        assert f"Forebay {release.VERSION}" in said(early) or "migrations are missing" in said(
            early
        )
        assert "forebay migrate` of this version" in said(early)


def said(host: Host) -> str:
    return host.child.log.read_text() + "".join(
        log.read_text(errors="replace") for log in sorted((host.folder / "logs").glob("*.log"))
    )


def test_an_upgrade_under_load_fails_no_request(upgrade: Upgrade) -> None:
    load = upgrade.load()
    with load:
        more_answers(load)
        killed = upgrade.migrate()
        time.sleep(1.5)  # somewhere in it
        killed.process.kill()
        assert killed.process.wait() != 0
        more_answers(load)  # of the old code, on half an upgrade
        whole = upgrade.migrate()
        assert whole.process.wait() == 0, whole.log_tail()
        together(load)  # the old code on the new tables
        swap(upgrade, "workers", load)
        swap(upgrade, "web,grpc,jobs", load)
    print(f"\n{load.count('whole')} answers through an upgrade, none failed")
    assert {how for _, how in load.ended} == {"whole"}
    upgrade.books_are_right()


def swap(upgrade: Upgrade, roles: str, load: Load) -> None:
    """The new host beside the old one, then the old one stops in order."""
    new = upgrade.start(roles)
    eventually(new.is_ready, START_S)
    together(load)
    if roles == "workers":
        upgrade.work, old = new, upgrade.work
    else:
        load.url = new.url  # as a load balancer does, before it ends a process
        upgrade.door, old = new, upgrade.door
        time.sleep(1)
    old.child.stop(60)
    together(load)


def together(load: Load) -> None:
    until = time.monotonic() + NEXT_TO_EACH_OTHER_S
    more_answers(load)
    time.sleep(max(until - time.monotonic(), 0))


def more_answers(load: Load) -> None:
    now = time.monotonic()
    eventually(lambda: len(load.whole_since(now)) > 20, 60)
