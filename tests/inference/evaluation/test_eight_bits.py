"""Q8_0 beside F16 of the bundled model, evaluated through the platform: what eight bits cost.

With FOREBAY_TEST_REPORTS=FOLDER the reports are written there, as docs/examples would show them.
"""

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest
from pytest_django.fixtures import Settings

from config.environment import PROJECT
from console.evaluations.report_file import FORMATS, as_file
from inference import engines
from inference.engines.base import EngineConfig
from inference.engines.kinds.llama_cpp import LlamaCppEngine
from inference.models import Evaluation
from tests.inference.conftest import forget_pool
from tests.inference.evaluation.conftest import MODEL, Lab, bundled_model, figures, in_database
from tests.inference.evaluation.conftest import served as serve
from tests.inference.evaluation.own_tasks import pages, questions

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.soak, pytest.mark.timeout(3600)]
TRAINER = PROJECT / ".venv-train" / "bin" / "python"
EIGHT = "smol-q8"
PERPLEXITY_MOST, ACCURACY_LEAST = 0.01, 0.98  # of what F16 has


def made(folder: Path, kind: str, base: Path, **parameters: str) -> Path:
    """Returns the file that the trainer makes of a GGUF."""
    order = {
        "kind": kind,
        "base": str(base),
        "data": {},
        "output": str(folder),
        "checkpoints": str(folder / "checkpoints"),
        "parameters": parameters,
        "threads": 1,
        "seed": 1,
    }
    folder.mkdir()
    file = folder / "order.json"
    file.write_bytes(orjson.dumps(order))
    subprocess.run([TRAINER, "-m", "trainer", file], cwd=PROJECT, check=True)
    return folder / "model.gguf"


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Addresses of engines with F16 and with Q8_0."""
    if not TRAINER.exists():
        pytest.skip("make .venv-train/.ready installs what converts models")
    folder = tmp_path_factory.mktemp("eight")
    half = made(folder / "f16", "convert", bundled_model(), to="gguf", dtype="f16")
    eight = made(folder / "q8", "quantise", half, format="q8_0")
    assert eight.stat().st_size < 0.55 * half.stat().st_size
    with ExitStack() as stack:
        yield stack.enter_context(serve(half)), stack.enter_context(serve(eight))


@pytest.fixture
async def both(lab: Lab, urls: tuple[str, str], settings: Settings) -> AsyncIterator[Lab]:
    """Two models, each with a worker."""
    lab.patience_s = 3000.0  # thousands of tokens, each a question to both
    pool, served = f"{lab.bench.pool}-q8", dict(settings.ENGINES)
    names = {MODEL: (lab.bench.pool, "f16", urls[0]), EIGHT: (pool, "q8_0", urls[1])}
    for model, (name, version, url) in names.items():
        one = {"kind": "llama_cpp", "url": url, "version": version, "slots": 2}
        served[model] = {"model": "model", "context_length": 1024, "pools": {name: one}}
    settings.ENGINES = served
    engines.forget()
    for model, (name, version, url) in names.items():
        config = EngineConfig(model, "llama_cpp", url, "model", slots=2, version=version)
        lab.bench.drain(name, LlamaCppEngine(config))
    yield lab
    await forget_pool(lab.bench.link, pool)


async def report(lab: Lab, kind: str, rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    task_set = await lab.task_set(kind, rows, name=name)
    evaluation = await lab.evaluated(task_set, model=EIGHT, against=MODEL)
    if folder := os.environ.get("FOREBAY_TEST_REPORTS"):
        await in_database(_write)(evaluation, Path(folder))
    return figures(evaluation)


def _write(evaluation: Evaluation, folder: Path) -> None:
    for form in FORMATS:
        file = folder / f"evaluation-q8_0-{evaluation.task_set_name}.{form}"
        file.write_bytes(as_file(evaluation, form))


async def test_eight_bits_cost_a_percent_of_perplexity_at_most(both: Lab) -> None:
    row = (await report(both, "perplexity", pages(), "pages"))["perplexity"]
    assert row["difference"]["value"] <= PERPLEXITY_MOST, row


async def test_eight_bits_keep_98_percent_of_the_right_choices(both: Lab) -> None:
    row = (await report(both, "choices", questions(), "capitals"))["accuracy"]
    assert row["against"]["value"] > 2 * row["baselines"]["chance"]
    assert row["candidate"]["value"] >= ACCURACY_LEAST * row["against"]["value"], row
