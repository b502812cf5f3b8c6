"""One start from nothing with the bundled model, used by all tests here in their order."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from config.supervisor.ports import find_free
from infrastructure.redis import servers
from tests.supervisor.running import Running, eventually, get, left_of, owners, refused

pytestmark = pytest.mark.e2e
SMALL = {"FOREBAY_SLOTS": "2", "FOREBAY_CONTEXT": "512"}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    grpc = {"FOREBAY_GRPC_PORT": str(find_free())}
    running = Running(tmp_path_factory.mktemp("first") / "home", **SMALL, **grpc)
    try:
        yield running.ready()
    finally:
        running.close()


def test_it_says_what_to_open_and_what_to_paste(platform: Running) -> None:
    text = "\n".join(platform.lines)
    url = f"http://localhost:{platform.port}"

    for part in ("database ready", "redis ready", "engine ready: smollm2-135m", "tables ready"):
        assert part in text
    assert f"Console   {url}/console/" in text
    assert f"sets the operator's password: {url}/" in text
    assert f"Chat      {url}/chat/" in text
    assert f"gRPC      127.0.0.1:{platform.told['FOREBAY_GRPC_PORT']}" in text


def test_the_printed_curl_line_works(platform: Running) -> None:
    line = next(line for line in platform.lines if line.startswith("curl "))
    assert "max_tokens" in line, "soon there, on any machine"

    answer = subprocess.run(["sh", "-c", line], capture_output=True, timeout=60, check=True)

    assert json.loads(answer.stdout)["choices"][0]["message"]["content"]


def test_what_manage_py_needs_is_there_for_the_owner_only(platform: Running) -> None:
    file = platform.home / "run" / "env.json"

    assert file.stat().st_mode & 0o777 == 0o600
    assert {"DATABASE_URL", "REDIS_URL", "FOREBAY_ENGINES", "FOREBAY_PORT"} <= platform.told.keys()
    for secret in (platform.home / "secrets").iterdir():
        assert secret.stat().st_mode & 0o077 == 0


def test_a_first_start_asks_the_database_for_nothing_that_is_not_there(platform: Running) -> None:
    told = (platform.home / "logs" / "postgres.log").read_text()

    assert not [line for line in told.splitlines() if "ERROR:" in line]


def test_from_the_first_start_on_its_processes_do_not_own_the_tables(platform: Running) -> None:
    assert owners(platform) == ["forebay_owner"]


def test_its_servers_have_no_ports_but_sockets_of_ours_alone(platform: Running) -> None:
    with psycopg.connect(platform.told["DATABASE_URL"]) as connection:
        assert connection.execute("show listen_addresses").fetchone() == ("",)
    with servers.client(platform.told["REDIS_URL"], decode_responses=True) as redis:
        assert redis.config_get("port") == {"port": "0"}

    sockets = [found for found in platform.home.glob("*/*") if found.is_socket()]
    sockets += (platform.home / "postgres").glob(".s.PGSQL.5432")
    assert len(set(sockets)) == 2
    assert not [found for found in sockets if found.stat().st_mode & 0o077]


def test_no_password_on_a_command_line(platform: Running) -> None:
    secrets = [file.read_text() for file in (platform.home / "secrets").iterdir()]

    assert not [line for line in left_of(platform.home) if any(s in line for s in secrets)]


def test_a_second_one_on_the_same_home_is_refused(platform: Running) -> None:
    second = Running(platform.home)
    assert second.process.wait(20) == 1
    second.close()

    assert len(second.lines) == 1
    assert f"already runs on {platform.home} (process {platform.process.pid})" in second.lines[0]
    assert get(platform.port, "/livez") == 200


def test_a_busy_port_is_named(platform: Running, tmp_path: Path) -> None:
    line = refused(tmp_path / "home", FOREBAY_PORT=str(platform.port))

    assert f"port {platform.port} on 127.0.0.1 is busy" in line
    assert "FOREBAY_PORT=" in line


def test_a_busy_port_of_grpc_is_named(platform: Running, tmp_path: Path) -> None:
    port = platform.told["FOREBAY_GRPC_PORT"]
    line = refused(tmp_path / "home", FOREBAY_GRPC_PORT=port)

    assert f"port {port} on 127.0.0.1 is busy" in line
    assert "FOREBAY_GRPC_PORT=" in line


SIGNS = ["llama_cpp_server", "valkey-server", "postgres", "config.web_server", "config.grpc_server"]


def test_everybody_yields_to_the_engine(platform: Running) -> None:
    policies = [os.sched_getscheduler(platform.child(sign).pid) for sign in SIGNS]
    assert policies == [os.SCHED_OTHER, *[os.SCHED_BATCH] * (len(SIGNS) - 1)]


@pytest.mark.parametrize("sign", SIGNS)
def test_a_dead_child_is_brought_back_at_its_port(platform: Running, sign: str) -> None:
    child = platform.child(sign)
    os.kill(child.pid, signal.SIGKILL)

    platform.line("was killed by SIGKILL, starts again in 0.5 s", 10)
    assert eventually(lambda: platform.commands().count(child.command) == 1, 20)
    assert eventually(lambda: get(platform.port, "/livez") == 200, 20)


def test_a_stop_leaves_nothing_behind(platform: Running) -> None:
    assert platform.end() < 10
    assert platform.process.returncode == 0
    assert left_of(platform.home) == []
    assert not (platform.home / "run" / "env.json").exists()
