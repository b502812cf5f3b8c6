import asyncio
import errno
import os
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection

from config.environment import PROJECT, nearby
from config.supervisor import child as child_module
from config.supervisor import ports
from config.supervisor.child import Child, Stage
from config.supervisor.embedded.postgres import add_missing_rules, address
from config.supervisor.embedded.valkey import Valkey
from config.supervisor.engines import launch_command
from config.supervisor.engines.embedded_engine import model_name
from config.supervisor.external_servers import address_of, redis_version, require_redis
from config.supervisor.home import Home
from config.supervisor.keeper import Keeper
from config.supervisor.own_processes import OwnProcesses
from config.supervisor.processes import run_concurrently
from config.supervisor.terminal import RunProblem
from infrastructure.redis import servers
from tests.tenants.played_redis import Command, PlayedRedis

pytestmark = pytest.mark.unit


def test_a_model_is_called_like_its_file() -> None:
    assert model_name(Path("/m/Qwen3 8B-Instruct.Q4_K_M.gguf")) == "qwen3-8b-instruct.q4_k_m"


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_what_the_readme_shows_has_the_address_that_is_printed(readme: str) -> None:
    shown = (PROJECT / readme).read_text().partition("```text\n")[2].partition("```")[0]
    url = f"http://{nearby('127.0.0.1')}:8000"
    assert f"curl {url}/v1/chat/completions" in shown
    assert "//127.0.0.1" not in shown
    assert f"the platform at {url}\n" in (PROJECT / "CONTRIBUTING.md").read_text()


def test_an_address_is_shown_without_its_password() -> None:
    assert address_of("postgres://user:secret@db.internal:5432/x") == "db.internal:5432"
    assert (
        address_of("postgres://user:secret@/x?host=/home/a%2041%2541&port=5432") == "/home/a 41%41"
    )
    assert address_of("postgres://u:secret@a:1,[::1]:2/x") == "a:1,[::1]:2"
    assert address_of("unix://:secret@/home/a%20b/valkey.sock?db=0") == "/home/a b/valkey.sock"


@pytest.mark.parametrize("version", ["6.2.17", "5.0.14", "4.0.0"])
async def test_a_redis_that_is_too_old(version: str) -> None:
    """One line that says what to do."""
    async with _redis(version) as url:
        with pytest.raises(RunProblem, match=f"Redis {version} at 127.0.0.1") as problem:
            await require_redis(url)
    assert "Redis 7 or newer, or Valkey" in str(problem.value)
    assert "\n" not in str(problem.value)
    assert "secret" not in str(problem.value)


@pytest.mark.parametrize("version", ["7.0.0", "7.2.4", "8.2.1", "10.0.0"])
async def test_a_redis_that_is_new_enough(version: str) -> None:
    async with _redis(version) as url:
        await require_redis(url)


async def test_a_redis_that_does_not_say_how_old_it_is() -> None:
    async with _redis("") as url:
        with pytest.raises(RunProblem, match="does not say which version"):
            await require_redis(url)


def test_valkey_names_the_redis_that_it_can_stand_for() -> None:
    told = {"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "9.0.1"}
    assert redis_version(told) == "7.2.4"


def test_a_busy_port_is_seen() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(RunProblem, match="is busy"),
    ):
        ports.require_free("127.0.0.1", server.getsockname()[1])


def test_a_port_that_is_taken_is_passed_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert ports.first_free("127.0.0.1", port) > port


def test_a_port_is_given_to_one_alone_and_its_server_can_restart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = ports.find_free()
    monkeypatch.setattr(ports, "_QUIET_PORTS", [port] * 200)
    with pytest.raises(RunProblem, match="no free TCP port"):
        ports.find_free()
    ports.require_free("127.0.0.1", port)
    for _ in range(2):
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_in_a_folder_with_a_long_name_servers_have_ports(tmp_path: Path) -> None:
    """A socket's path has room for 107 bytes."""
    short, long = tmp_path / "postgres", tmp_path / ("x" * 90) / "postgres"
    assert len(str(long)) > 107
    assert address(short).url("me", "secret") == (
        f"postgres://me:secret@/forebay?host={short}&port=5432"
    )
    assert address(short).settings["listen_addresses"] == ""
    assert address(long).url("me", "secret").startswith("postgres://me:secret@127.0.0.1:")
    assert address(long).settings["unix_socket_directories"] == ""

    home = Home(long)
    home.take()
    assert Valkey(home, Keeper(home, OwnProcesses(home))).url.startswith("redis://:")


def test_in_a_folder_that_can_have_no_sockets_servers_have_ports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Docker Desktop and WSL mount such folders from another system."""

    class Socket(socket.socket):
        def bind(self, where: Any) -> None:
            if self.family == socket.AF_UNIX:
                raise OSError(errno.EOPNOTSUPP, "Operation not supported")
            super().bind(where)

    assert address(tmp_path / "postgres").folder
    assert not list(tmp_path.iterdir()), "nothing is left of the try"
    assert not address(tmp_path / "no \udcff UTF-8" / "postgres").folder
    monkeypatch.setattr(socket, "socket", Socket)
    assert not address(tmp_path / "postgres").folder


@pytest.fixture
def short() -> Iterator[Path]:
    """`tmp_path` may be too long for a socket, with the name of a worker and of a test in it."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


async def test_valkey_has_its_socket_in_a_folder_of_any_name(short: Path) -> None:
    home = Home(short / """a 'b" \\n%41,é""")
    home.take()
    keeper = Keeper(home, OwnProcesses(home))
    try:
        valkey = Valkey(home, keeper)
        assert valkey.url.startswith("unix:")
        await valkey.start()
        with Connection(servers.celery_broker(valkey.url).url) as broker:
            broker.connect()
    finally:
        await keeper.stop()


def test_a_database_of_an_earlier_version_lets_sockets_in_once(tmp_path: Path) -> None:
    rules = tmp_path / "pg_hba.conf"
    for end in ("\n", ""):  # somebody may have edited it
        rules.write_text(f"host all all 127.0.0.1/32 scram-sha-256{end}")
        for _ in range(2):
            add_missing_rules(rules)
        assert rules.read_text().splitlines() == [
            "host all all 127.0.0.1/32 scram-sha-256",
            "local all all scram-sha-256",
            "local replication postgres scram-sha-256",
            "host replication postgres 127.0.0.1/32 scram-sha-256",
        ]


def test_a_host_that_is_none() -> None:
    with pytest.raises(RunProblem, match="FOREBAY_HOST"):
        ports.require_free("no host at all", 8000)


def test_a_password_stays_the_same(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.take()

    assert home.password("one") == home.password("one") != home.password("two")
    assert (home.secrets / "one").stat().st_mode & 0o777 == 0o600


def test_without_openmp_on_the_system_the_wheel_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path)
    home.take()
    monkeypatch.setattr(launch_command, "_system_has_openmp", lambda: False)
    monkeypatch.setattr(launch_command, "_copy_of_openmp", lambda: Path("/wheel/libgomp-1.so"))

    folder = Path(launch_command.openmp_variables(home)["LD_LIBRARY_PATH"])

    assert (folder / "libgomp.so.1").readlink() == Path("/wheel/libgomp-1.so")


async def test_a_log_does_not_grow_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_module, "_LOG_BYTES", 10)
    child = _child(tmp_path, "echo 0123456789; read line; echo after")
    read, write = os.pipe()
    child.spawn(input=read)
    while not child.last_lines(1):
        await asyncio.sleep(0.01)

    child.bound_log()
    os.write(write, b"\n")

    assert await child.ended() == 0
    assert child.log.read_text() == "after\n"
    assert child.last_lines(5) == ["after"]
    assert (tmp_path / "child.old.log").read_text() == "0123456789\n"
    for end in (read, write):
        os.close(end)


async def test_a_log_that_finds_no_room_for_its_old_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copyfile(_log: Path, old: Path) -> None:
        old.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(child_module, "_LOG_BYTES", 3)
    monkeypatch.setattr("shutil.copyfile", copyfile)
    child = _child(tmp_path, "echo 0123; exec sleep 60")
    child.spawn()
    while not child.last_lines(1):
        await asyncio.sleep(0.01)

    child.bound_log()

    await child.stop(patience=1)
    assert child.log.read_text() == "0123\n"
    assert not (tmp_path / "child.old.log").exists()


async def test_a_child_whose_log_somebody_removed_is_started_again(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.take()
    keeper = Keeper(home, OwnProcesses(home))
    child = keeper.child("child", ["sleep", "60"], {}, stage=Stage.WORK)
    keeper.keep(child)
    try:
        child.log.unlink()
        keeper.bound_logs()
        before = child.pid
        child.send(signal.SIGKILL)
        async with asyncio.timeout(20):
            while not child.running or child.pid == before:
                await asyncio.sleep(0.05)
    finally:
        await keeper.stop()


async def test_a_child_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    child = _child(tmp_path, "trap '' TERM; echo deaf; while :; do sleep 1; done")
    child.spawn()
    while not child.last_lines(1):
        await asyncio.sleep(0.01)

    await child.stop(patience=0.1)

    assert child.how_it_ended() == "was killed by SIGKILL"


async def test_a_child_tells_the_last_lines_of_this_life_only(tmp_path: Path) -> None:
    child = _child(tmp_path, "echo one; echo two; exit 3")
    child.log.write_text("from an earlier life\n")
    child.spawn()

    assert await child.ended() == 3
    assert child.last_lines(5) == ["one", "two"]
    assert child.how_it_ended() == "ended with exit code 3"


async def test_the_first_failure_ends_the_others() -> None:
    async def fails() -> None:
        raise RunProblem("no")

    with pytest.raises(RunProblem, match="no"):
        await run_concurrently(fails(), asyncio.sleep(60))


@asynccontextmanager
async def _redis(version: str) -> AsyncIterator[str]:
    """The URL of one that says it is of this version, and OK to everything else."""
    told = f"# Server\r\nredis_version:{version}\r\n".encode()

    async def answer(command: Command) -> bytes:
        if command[0].upper() == b"HELLO":
            return b"-ERR unknown command\r\n"
        return b"$%d\r\n%b\r\n" % (len(told), told) if b"INFO" in command else b"+OK\r\n"

    async with PlayedRedis(answer) as played:
        yield f"redis://:secret@127.0.0.1:{played.port}/0"


def _child(folder: Path, script: str) -> Child:
    command = ["sh", "-c", script]
    return Child("child", command, {}, folder / "child.log", folder, Stage.WORK)
