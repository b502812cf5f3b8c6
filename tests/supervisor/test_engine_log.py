"""The log of an engine's server quotes no request, whatever the engine prints of one."""

import os
import sys
from pathlib import Path

import pytest

from config.supervisor.child import Child, Stage
from config.supervisor.engine_log import LEFT_OUT, EngineLog, without_texts

pytestmark = pytest.mark.unit
SECRET = "kestrel"


@pytest.mark.parametrize(
    "line",
    [
        f"WARNING: JSON schema conversion was incomplete: pattern ^(?={SECRET})$ is not supported",
        f'root ::= "{SECRET}" space',
        f"0.28.864.464 E srv    send_error: task id = 166, error: Unrecognized schema: {SECRET}",
        f"0.28.864.464 E srv  operator(): got exception: {SECRET}",
        f"{SECRET}",
        f"what():  [json.exception.parse_error.101] last read: '{SECRET}'",
        f"(APIServer pid=7) ERROR 11-29 10:00:00 [serving_chat.py:257] Error in {SECRET}",
        f"(APIServer pid=7) INFO 11-29 10:00:00 [logger.py:43] Received request: '{SECRET}'",
        f"(EngineCore_0 pid=9) ERROR 11-29 10:00:00 [core.py:718] ValueError: pattern {SECRET}",
        f"ValueError: {SECRET}",
        f'    raise ValueError("{SECRET}")',
    ],
)
def test_what_can_quote_a_request_is_left_out(line: str) -> None:
    assert SECRET not in without_texts(line)


@pytest.mark.parametrize(
    "line",
    [
        "small listening on http://127.0.0.1:17001",
        "0.28.864.426 E failed to parse grammar",
        "0.28.864.474 E srv  process_sing: failed to launch slot with task, id_task = 166",
        "/src/llama.cpp/ggml/src/ggml.c:1234: GGML_ASSERT(a->ne[0] == b->ne[0]) failed",
        "terminate called after throwing an instance of 'std::bad_alloc'",
        "(APIServer pid=7) INFO 11-29 10:00:00 [loggers.py:118] Engine 000: Avg prompt throughput:"
        " 1.2 tokens/s, Running: 3 reqs, Waiting: 0 reqs, GPU KV cache usage: 0.1%",
        "(EngineCore_0 pid=9) ERROR 11-29 10:00:00 [core.py:7] Traceback (most recent call last):",
        '  File "/opt/vllm/engine/core.py", line 709, in run_engine_core',
        "(APIServer pid=7) INFO:     Shutting down",
        'INFO:     127.0.0.1:5 - "POST /v1/chat/completions HTTP/1.1" 400 Bad Request',
    ],
)
def test_what_operators_need_is_kept(line: str) -> None:
    assert without_texts(line) == line


def test_of_an_error_its_kind_and_its_place_stay() -> None:
    prefix = "(EngineCore_0 pid=9) ERROR 11-29 10:00:00 [core.py:718]"
    assert without_texts(f"{prefix} torch.OutOfMemoryError: {SECRET}") == (
        f"{prefix} torch.OutOfMemoryError"
    )
    assert without_texts(f"{prefix} {SECRET}") == f"{prefix} {LEFT_OUT}"
    sent = f"0.28.864.464 E srv    send_error: task id = 166, error: {SECRET}"
    assert without_texts(sent) == f"0.28.864.464 E srv    send_error: task id = 166, {LEFT_OUT}"


SERVER = """
print("loading", "a model of 7 layers", flush=True)
print("far listening on http://127.0.0.1:1", flush=True)
print("kestrel\\n" * 3, flush=True)
print("0.1.2.3 E failed to parse grammar", flush=True)
print("kestrel" * 10_000, flush=True)
raise SystemExit(3)
"""


async def test_while_it_loads_a_server_says_what_it_likes(tmp_path: Path) -> None:
    child = Child(
        "engine.far",
        [sys.executable, "-c", SERVER],
        {},
        tmp_path / "log",
        tmp_path,
        Stage.SERVER,
        may_quote=True,
    )
    child.spawn()
    assert await child.ended() == 3
    lines = child.last_lines(10)
    assert lines == [
        "loading a model of 7 layers",
        "far listening on http://127.0.0.1:1",
        LEFT_OUT,
        "0.1.2.3 E failed to parse grammar",
        LEFT_OUT,
    ]


async def test_once_somebody_knows_that_it_is_ready_nothing_more_is_quoted(tmp_path: Path) -> None:
    script = f"import sys\nsys.stdin.readline()\nprint('{SECRET}')"
    child = Child(
        "engine.far",
        [sys.executable, "-c", script],
        {},
        tmp_path / "log",
        tmp_path,
        Stage.SERVER,
        may_quote=True,
    )
    child.spawn()
    child.has_requests()
    await child.ended()
    assert SECRET not in child.log.read_text()


def test_a_full_disk_costs_lines_and_ends_no_server(tmp_path: Path) -> None:
    """Its output has nowhere to go for a while; a closed pipe would end it."""
    away = tmp_path / "logs"
    log = EngineLog(away / "engine.log")
    with os.fdopen(log.begin(), "wb", buffering=0) as output:
        output.write(b"lost\n" * 50_000)  # more than a pipe holds: somebody reads on
        away.mkdir()
        output.write(b"last\n")
    log.wait(10)
    assert (away / "engine.log").read_text().endswith("last\n")
