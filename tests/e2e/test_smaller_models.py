"""The bundled model in eight bits, made and judged by jobs of a running platform.

`make soak-models` runs it; with FOREBAY_TEST_REPORTS=FOLDER what the jobs printed is written there.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests import report_files
from tests.e2e.conftest import Platform
from tests.inference.evaluation.own_tasks import pages, questions

PYTORCH = os.environ.get("FOREBAY_TEST_MODELS")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.soak,
    pytest.mark.skipif(not PYTORCH, reason="needs PyTorch: make soak-models runs it"),
    pytest.mark.slow(seconds=900),
    pytest.mark.timeout(3600),
]
PERPLEXITY_MOST, ACCURACY_LEAST = 1.01, 0.98  # of what 32 bits have
SHARE_MOST = {"q8_0": 0.27, "int8": 0.255}  # of the bytes of 32 bits
TENANT = "quantisers"
SCOPES = ("inference", "management:read", "management:write")


class Console:
    """Someone of a tenant, who types `forebay jobs`."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        platform.manage("create_tenant", TENANT, "--requests-per-minute", "0", "--burst", "0")
        options = [word for scope in SCOPES for word in ("--scope", scope)]
        created = platform.manage("create_api_key", TENANT, "--name", "it", *options, "--json")
        self._key = str(json.loads(created)["api_key"])

    def job(self, report: str, kind: str, *options: str) -> dict[str, Any]:
        """Returns the result of a job that is over, and writes what the command printed."""
        command = [sys.executable, "-m", "config.command", "jobs", "create", TENANT, kind]
        env = {**self._platform.env, "FOREBAY_URL": self._platform.url}
        env["FOREBAY_API_KEY"] = self._key
        ended = subprocess.run(
            [*command, *options, "--follow", "--json"], env=env, capture_output=True, text=True
        )
        assert ended.returncode == 0, ended.stderr
        report_files.write(f"{report}.json", ended.stdout)
        result: dict[str, Any] = json.loads(ended.stdout)["job"]["result"]
        return result

    def upload(self, rows: list[dict[str, Any]]) -> str:
        """Returns the id of a file of tasks."""
        file = ("tasks.jsonl", "\n".join(map(json.dumps, rows)).encode())
        answer = httpx.post(
            f"{self._platform.url}/v1/files", files={"file": file}, data={"purpose": "fine-tune"},
            headers={"Authorization": f"Bearer {self._key}"}, timeout=60,
        )  # fmt: skip
        return str(answer.raise_for_status().json()["id"])


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    python = {"FOREBAY_TRAINER_PYTHON": str(PYTORCH)}
    platform = Platform(tmp_path_factory.mktemp("smaller"), variables=python)
    platform.manage("register_model", "smollm2-135m")
    yield Console(platform)
    platform.stop()


def test_eight_bits_take_a_quarter_and_keep_what_the_model_knows(console: Console) -> None:
    make(console, "f32", "smollm2-135m", "convert", to="hf", dtype="f32")
    before = scores(console, "f32")
    for form, most in SHARE_MOST.items():
        result = make(console, form, "smollm2-135m-f32", "quantise", format=form)
        assert result["share"] <= most, form
        after = scores(console, f"f32-{form}")
        assert after["perplexity"] <= PERPLEXITY_MOST * before["perplexity"], form
        assert after["accuracy"] >= ACCURACY_LEAST * before["accuracy"], form


def make(console: Console, name: str, base: str, kind: str, **parameters: str) -> dict[str, Any]:
    """Have a job make the version `BASE-NAME`."""
    options = "--base", base, "--suffix", name, "--parameters", json.dumps(parameters)
    return console.job(f"{kind}-{name}", kind, *options)


def scores(console: Console, name: str) -> dict[str, float]:
    """Returns the perplexity of pages, and the share of capitals that are right."""
    figures: dict[str, Any] = {}
    for tasks, rows in {"pages": pages(), "capitals": questions()}.items():
        options = "--base", f"smollm2-135m-{name}", "--training-file", console.upload(rows)
        figures |= console.job(f"score-{name}-{tasks}", "score", *options)["figures"]
    return {each: figures[each]["value"] for each in ("perplexity", "accuracy")}
