"""The clients that people use from Node, unchanged: openai, anthropic, Vercel's AI SDK, and gRPC's.

They need Node 18 or newer and npm, and fetch what tests/node/package-lock.json names; `make soak`
(FOREBAY_TEST_NODE=1) fails where that is not to be had, other runs leave these tests out.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from config.environment import PROJECT
from console.playground.code import samples
from tests.e2e.conftest import Mock, Platform
from tests.e2e.test_sdks import MODEL, SILENCE_S

pytestmark = [pytest.mark.e2e, pytest.mark.soak, pytest.mark.timeout(300)]
SCRIPTS = PROJECT / "tests" / "node"
EXAMPLE = PROJECT / "docs" / "examples" / "grpc_client.js"


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scripts, and with the packages of their lock installed."""
    if not shutil.which("npm") and not os.environ.get("FOREBAY_TEST_NODE"):
        pytest.skip("needs Node and npm (Debian: nodejs, npm)")
    folder = tmp_path_factory.mktemp("node")
    shutil.copytree(SCRIPTS, folder, dirs_exist_ok=True)
    run(folder, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    return folder


def run(folder: Path, *command: str) -> str:
    ended = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def reported(packages: Path, script: str, platform: Platform) -> dict[str, Any]:
    """Returns the JSON that a script prints."""
    printed = run(packages, "node", script, f"{platform.url}/v1", platform.new_key())
    report: dict[str, Any] = json.loads(printed)
    return report


@pytest.mark.slow(seconds=60)
def test_openais_client_reads_what_it_reads_from_openai(real: Platform, packages: Path) -> None:
    report = reported(packages, "conversation.mjs", real)
    assert "Paris" in report["whole"]
    assert "Paris" in report["streamed"]
    assert report["usage"]["completion_tokens"] > 0
    assert report["call"]["name"] == "get_weather"
    assert set(json.loads(report["call"]["arguments"])) == {"city"}
    assert set(report["shaped"]) == {"city"}
    assert report["models"] == [MODEL]


@pytest.mark.slow(seconds=60)
def test_anthropics_client_reads_what_it_reads_from_anthropic(
    real: Platform, packages: Path
) -> None:
    report = reported(packages, "messages.mjs", real)
    assert "Paris" in report["whole"]
    assert report["whole"] == report["streamed"] == report["final"]
    assert report["usage"][0] == report["usage"][1]
    assert report["call"] == ["get_weather", ["city"], "tool_use"]
    assert report["answered"] in ("end_turn", "max_tokens")
    assert report["counted"] == report["usage"][0][0]
    assert report["models"] == [MODEL]
    assert report["errors"] == [
        ["NotFoundError", 404, "not_found_error"],
        ["BadRequestError", 400, "invalid_request_error"],
    ]


@pytest.mark.slow(seconds=90)
def test_a_stream_whose_engine_falls_silent_is_read_to_its_end_twice(
    staged: Platform, mock: Mock, packages: Path
) -> None:
    """Live, with a comment after 15 s; and read again meanwhile, with one after each second."""
    mock.behave(tokens=2, interval_ms=SILENCE_S * 1000)
    texts = reported(packages, "silent_stream.mjs", staged)["texts"]
    assert texts[0] == texts[1] != ""


def test_errors_have_the_classes_of_openais_client(
    staged: Platform, mock: Mock, packages: Path
) -> None:
    mock.behave(fail="drop_mid_stream")
    assert reported(packages, "errors.mjs", staged) == {
        "an unknown model": ["NotFoundError", 404, "model_not_found"],
        "no message": ["BadRequestError", 400, "invalid_request"],
        "a wrong key": ["AuthenticationError", 401, "invalid_api_key"],
        "a stream that fails in its middle": ["APIError", None, "engine_failed"],
    }


@pytest.mark.slow(seconds=60)
def test_vercels_sdk_writes_streams_and_calls_tools(real: Platform, packages: Path) -> None:
    report = reported(packages, "vercel.mjs", real)
    assert "Paris" in report["whole"]
    assert report["streamed"] == report["whole"]
    assert report["usage"]["outputTokens"] > 0
    assert report["calls"] == [["get_weather", ["city"]]]


@pytest.mark.slow(seconds=60)
def test_openais_client_over_the_responses_api(real: Platform, packages: Path) -> None:
    report = reported(packages, "responses.mjs", real)
    assert "Paris" in report["whole"]
    assert (report["streamed"], report["gaps"]) == (report["whole"], [])
    assert report["usage"]["output_tokens"] > 0
    assert report["call"] == {"name": "get_weather", "arguments": ["city"]}
    assert report["shaped"] == ["city"]
    assert report["answered"]


@pytest.mark.slow(seconds=60)
def test_vercels_default_provider_speaks_responses(real: Platform, packages: Path) -> None:
    report = reported(packages, "vercel_responses.mjs", real)
    assert "Paris" in report["whole"]
    assert report["streamed"] == report["whole"]
    assert report["usage"]["outputTokens"] > 0
    assert report["calls"] == [["get_weather", ["city"]]]
    assert report["answered"] in ("stop", "length", "tool-calls")


def test_the_documented_grpc_client_runs_as_written(
    staged: Platform, mock: Mock, packages: Path
) -> None:
    mock.behave(tokens=3)
    installs = re.findall(r"^// npm install (.+)$", EXAMPLE.read_text(), re.M)[0].split()
    locked = json.loads((SCRIPTS / "package.json").read_text())["dependencies"]
    assert set(installs) <= set(locked)
    # a .js file is CommonJS in a folder whose package.json does not say otherwise
    folder = packages / "example"
    folder.mkdir()
    (folder / "package.json").write_text("{}")
    shutil.copy(EXAMPLE, folder)
    shutil.copytree(PROJECT / "proto", folder / "proto")
    address = f"127.0.0.1:{staged.grpc_port}"
    printed = run(folder, "node", EXAMPLE.name, address, staged.new_key(), "mock")
    assert len(printed.split()) >= 3


@pytest.mark.slow(seconds=60)
def test_the_consoles_code_for_node_runs_as_it_stands(real: Platform, packages: Path) -> None:
    question = {"role": "user", "content": 'It\'s `quoted` "twice": what is the capital of France?'}
    body = {"model": MODEL, "messages": [question], "max_tokens": 8}
    with override_settings(PUBLIC_URL=real.url):
        code = {each.name: each.text for each in samples(body, real.new_key())}["node"]
    (packages / "sample.mjs").write_text(code)
    assert run(packages, "node", "sample.mjs").strip()
