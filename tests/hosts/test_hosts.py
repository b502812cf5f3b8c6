"""A platform on several hosts: one is cut off, or lost, and nothing is lost and nothing doubled."""

import os
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from bench.servers.child import Child
from tests.e2e.ask import eventually
from tests.hosts.hosts import POSTGRES, SLOTS, VALKEY, DataHost, Host, MockEngine, engines
from tests.hosts.load import ODD, Load
from tests.hosts.network import Network, network

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
ALL = bool(os.environ.get("FOREBAY_TEST_HOSTS"))
OTHER_KEY = b64encode(bytes(32)).decode()
in_soak = pytest.mark.skipif(not ALL, reason="make soak has it (FOREBAY_TEST_HOSTS)")


SEEN = """
    select count(*), count(*) filter (where status = 200) from inference_usage"""
MORE = """
    select action, detail::text from audit_event
    where request_id is not null and action not like 'completion:%'"""


class Hosts:
    """A: PostgreSQL and Valkey. B: web, gRPC, jobs. C: workers and an engine, that D has too."""

    def __init__(self, net: Network, folder: Path) -> None:
        a, b, c = net.host(), net.host(), net.host()
        self._net, self._folder = net, folder
        self.data = DataHost(a, folder)
        self.engine = MockEngine(c, folder, tokens=20, **{"interval-ms": 20})
        self.told = {**self.data.shared, "FOREBAY_ENGINES": engines(c=self.engine.url)}
        self.door = Host(b, folder / "b", "web,grpc,jobs", self.data.shared)
        self.work = Host(c, folder / "c", "workers", self.told)
        self._more: list[Host] = []

    def another(self, roles: str, **told: str) -> Host:
        name = f"more{len(self._more)}"
        self._more.append(Host(self._net.host(), self._folder / name, roles, self.told | told))
        return self._more[-1]

    def stop(self) -> None:
        for host in (*self._more, self.work, self.door):
            host.lose()
        self.engine.child.stop()
        self.data.stop()

    def load(self, clients: int = 6) -> Load:
        return Load(self.door.url, self.data.key, clients)

    def books_are_right(self) -> None:
        """Every request on record has ended once, and ledger, usage and counters agree."""
        open_ones = "select count(*) from inference_completion where state = 'open'"
        eventually(lambda: self.data.ask(open_ones) == [(0,)], 60)
        assert self.data.ask(ODD) == []
        print(*self.data.ask(MORE), end=" ")
        self.data.manage("reconcile", "--day", f"{datetime.now(UTC):%Y-%m-%d}")

    def answered(self) -> int:
        return int(str(self.data.ask(SEEN)[0][1]))


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    folder = tmp_path_factory.mktemp("hosts")
    folder.chmod(0o755)  # PostgreSQL runs as another user
    with network() as net:
        hosts = Hosts(net, folder)
        try:
            for host in (hosts.door, hosts.work):
                eventually(host.is_ready, 60)
            yield hosts
        finally:
            hosts.stop()


@contextmanager
def nothing_lost_nothing_doubled(hosts: Hosts, clients: int = 6) -> Iterator[Load]:
    """Under load: whoever asked has heard how it ended, and what was answered was charged once."""
    before = hosts.answered()
    with hosts.load(clients) as load:
        eventually(lambda: load.count("whole") > 10, 30)
        yield load
    assert load.odd == []
    hosts.books_are_right()
    # A cut may come between an answer's record and the answer: then its client has an error.
    beyond = hosts.answered() - before - load.count("whole")
    assert 0 <= beyond <= load.count("error") + load.count("refused")
    print(
        f" {load.count('whole')} whole, {load.count('error')} errors, {load.count('refused')} 503"
    )


def tell_when_it_answers(what: str, load: Load) -> None:
    """The third whole answer from now on: two may have been under way."""
    now = time.monotonic()
    eventually(lambda: len(load.whole_since(now)) > 2, 90)
    print(f"\n{what}: answers {load.whole_since(now)[2] - now:.1f} s later;", end="")


@pytest.mark.soak
@pytest.mark.slow(seconds=30)
@pytest.mark.parametrize("seconds", [5, 8] if ALL else [5])
def test_a_worker_host_that_is_cut_off_and_comes_back(hosts: Hosts, seconds: int) -> None:
    """After 5 s a request comes back while its first answer still waits for its commit."""
    with nothing_lost_nothing_doubled(hosts) as load:
        hosts.work.place.cut()
        time.sleep(seconds)
        hosts.work.place.join()
        tell_when_it_answers(f"worker host cut off for {seconds} s", load)


@in_soak
@pytest.mark.parametrize("seconds", [3, 10, 40])
def test_the_data_host_that_is_cut_off_and_comes_back(hosts: Hosts, seconds: int) -> None:
    with nothing_lost_nothing_doubled(hosts) as load:
        hosts.data.place.cut()
        time.sleep(seconds)
        hosts.data.place.join()
        tell_when_it_answers(f"data host cut off for {seconds} s", load)


@in_soak
def test_a_web_host_that_is_cut_off_and_comes_back(hosts: Hosts) -> None:
    """Its clients are cut off from it as well: what they asked for is on record once."""
    with hosts.load() as load:
        eventually(lambda: load.count("whole") > 10, 30)
        hosts.door.place.cut()
        time.sleep(10)
        hosts.door.place.join()
        tell_when_it_answers("web host cut off for 10 s", load)
    hosts.books_are_right()


@in_soak
@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"FOREBAY_MASTER_KEY": OTHER_KEY}, "wrong master key"),
        ({"FOREBAY_AUDIT_SIGNING_KEY": OTHER_KEY}, "unknown audit signing key"),
        ({"FOREBAY_MASTER_KEY": ""}, "this host has no FOREBAY_MASTER_KEY"),
    ],
)
def test_a_host_with_another_key_does_not_start(
    hosts: Hosts, told: dict[str, str], said: str
) -> None:
    with hosts.load() as load:  # so that there is a checkpoint with a signature
        eventually(lambda: load.count("whole") > 3, 30)
    other = hosts.another("workers", **told)
    assert other.child.process.wait(60) == 1
    assert said in other.child.log.read_text()


@in_soak
def test_a_worker_host_that_is_lost_and_another_takes_over(hosts: Hosts) -> None:
    """Until then, D's workers leave the engine's slots to C's."""
    other = MockEngine(hosts.data.place, hosts.data.home, tokens=20, **{"interval-ms": 20})
    both = engines(c=hosts.engine.url, a=other.url)
    second = hosts.another("workers", FOREBAY_ENGINES=both)
    eventually(second.is_ready, 60)
    eventually(lambda: httpx.get(other.url.replace("/v1", "/health")).status_code == 200)
    with nothing_lost_nothing_doubled(hosts, clients=24) as load:
        eventually(lambda: load.count("whole") > 100, 60)
        assert max(hosts.engine.peak, other.peak) <= SLOTS
        hosts.work.lose()
        tell_when_it_answers("worker host lost, another takes over", load)
        eventually(lambda: load.count("whole") > 400, 60)
        assert other.peak <= SLOTS
    hosts.work.place.join()
    hosts.work.start(FOREBAY_ENGINES=both)
    eventually(hosts.work.is_ready, 60)
    with nothing_lost_nothing_doubled(hosts, clients=24) as load:
        eventually(lambda: load.count("whole") > 400, 60)
        assert max(hosts.engine.peak, other.peak) <= SLOTS
    second.lose()
    other.child.stop()


@in_soak
def test_a_worker_host_behind_a_slow_link(hosts: Hosts) -> None:
    """50 ms each way and one packet in a hundred lost, to PostgreSQL and Valkey."""
    hosts.work.child.stop(30)
    place = hosts.work.place
    links = [f"{port}={hosts.data.place.address}:{port}" for port in (POSTGRES, VALKEY)]
    relay = [*place.prefix, sys.executable, "-m", "tests.hosts.slow_link", *links]
    child = Child(relay, hosts.data.home / "slow_link.log")
    slow = {name: hosts.told[name] for name in ("DATABASE_URL", "REDIS_URL")}
    slow = {name: url.replace(hosts.data.place.address, "127.0.0.1") for name, url in slow.items()}
    hosts.work = Host(place, hosts.work.folder, "workers", hosts.told | slow)
    eventually(hosts.work.is_ready, 90)
    with nothing_lost_nothing_doubled(hosts) as load:
        tell_when_it_answers("worker host 50 ms away", load)
        time.sleep(20)
    assert load.count("whole") > 100
    assert load.count("refused") == load.count("error") == 0
    child.stop()
