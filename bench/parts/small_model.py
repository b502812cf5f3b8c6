"""How fast a model with fewer layers and words decodes, beside the one that it was cut out of."""

import json
import os
import socket
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Aim, cell, median, paragraphs, ratio, table, tell
from bench.servers.child import Child, temporary_folder
from bench.servers.small_model import LAYERS, WORDS, make_models

FORMATS = ("f16", "q8_0")
AIM = 2.3  # times as fast, in the same format
PROMPT = "Water that comes too fast is"
METHOD = f"""\
The bundled SmolLM2-135M and a student of {LAYERS} layers and {WORDS:,} words, cut out of it by the
trainer (its speed depends on its size, not on what it was taught). Each is served by the embedded
llama.cpp with one thread; they decode in turns, one stream at a time, so that what else the machine
does slows all of them. Medians of the rounds."""


@dataclass(slots=True)
class Speed:
    """Tokens a second of one format; megabytes of the files."""

    format: str
    teacher: float | None
    student: float | None
    teacher_mb: float
    student_mb: float


@dataclass(slots=True)
class SmallModelReport:
    rounds: int
    speeds: list[Speed]


def measure(rounds: int, tokens: int) -> SmallModelReport:
    with temporary_folder() as folder, ExitStack() as engines:
        models = make_models(folder, FORMATS)
        urls = {
            name: engines.enter_context(_engine(path, folder / "-".join(name)))
            for name, path in models.items()
        }
        speeds = {name: list[float]() for name in models}
        for number in range(rounds):
            tell(f"small model, round {number + 1}/{rounds}")
            for name, url in urls.items():
                speeds[name].append(_decode(url, tokens))
        return SmallModelReport(rounds, [_speed(dtype, models, speeds) for dtype in FORMATS])


def _speed(
    dtype: str, models: dict[tuple[str, str], Path], speeds: dict[tuple[str, str], list[float]]
) -> Speed:
    teacher, student = ("teacher", dtype), ("student", dtype)
    sizes = [models[name].stat().st_size / 1e6 for name in (teacher, student)]
    return Speed(dtype, median(speeds[teacher]), median(speeds[student]), *sizes)


@contextmanager
def _engine(model: Path, log: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    module = "inference.engines.kinds.llama_cpp_server"
    options = ["--model", str(model), "--port", str(port), "--slots", "1", "--context", "512"]
    command = [sys.executable, "-m", module, *options, "--threads", "1"]
    engine = Child(command, log.with_suffix(".log"), env=os.environ)
    try:
        engine.wait_until_ready(f"http://127.0.0.1:{port}/health", 300)
        yield f"http://127.0.0.1:{port}/completion"
    finally:
        engine.stop()


def _decode(url: str, tokens: int) -> float:
    """Returns tokens a second after the prompt, by the engine's own clock."""
    body = {"prompt": PROMPT, "n_predict": tokens, "ignore_eos": True, "temperature": 0,
            "cache_prompt": False}  # fmt: skip
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=600) as answer:
        return float(json.load(answer)["timings"]["predicted_per_second"])


def section(report: SmallModelReport) -> str:
    rows = [
        [
            speed.format.upper(), cell(speed.teacher), cell(speed.student),
            f"x {cell(ratio(speed.student, speed.teacher))}",
            f"{cell(speed.teacher_mb)} / {cell(speed.student_mb)}",
        ]
        for speed in report.speeds
    ]  # fmt: skip
    head = ["format", "30 layers, tokens/s", f"{LAYERS} layers, {WORDS:,} words", "ratio", "MB"]
    return paragraphs(METHOD, table(head, rows), f"Rounds: {report.rounds}.")


def aims(report: SmallModelReport) -> list[Aim]:
    return [
        Aim(f"decode speed of the student, {speed.format.upper()}, both in it",
            ratio(speed.student, speed.teacher), "x", AIM, at_least=True)
        for speed in report.speeds
    ]  # fmt: skip
