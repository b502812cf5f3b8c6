"""docs/models/quick-start.md, typed as it stands there, with the real trainer and engine.

Only the installation is left out: the trainer's environment is the one of make test-models. With
FOREBAY_TEST_REPORTS=FOLDER what the commands printed, and the report, are written there.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.environment import PROJECT
from tests import report_files
from tests.docs.blocks import commands
from tests.e2e.conftest import Platform
from tests.e2e.console_owner import Owner

PYTORCH = os.environ.get("FOREBAY_TEST_MODELS")
PAGE = "docs/models/quick-start.md"
INSTALLATION = "forebay trainer install --yes"
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not PYTORCH, reason="needs PyTorch: make test-models runs it"),
    pytest.mark.slow(seconds=900),
    pytest.mark.timeout(3600),
]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform with the tenant `demo`, as `make run` starts it."""
    python = {"FOREBAY_TRAINER_PYTHON": str(PYTORCH)}
    platform = Platform(tmp_path_factory.mktemp("quick-start"), variables=python)
    if not json.loads(platform.manage("first_run", "--json"))["demo_tenant"]:
        platform.manage("create_tenant", "demo")
    yield platform
    platform.stop()


def script(platform: Platform, folder: Path) -> str:
    """Returns the page's commands; what they write goes into the folder."""
    lines = [each.text for each in commands() if each.page == PAGE]
    lines.remove(INSTALLATION)
    text = "\n".join(["set -e", *lines])
    text = text.replace("make -s manage", "make -s -o .venv/.base manage")  # installs nothing
    text = text.replace("http://localhost:8000", platform.url)
    return re.sub(r"(?<=[ >])var/", f"{folder}/", text)


def test_pages_become_a_model_that_is_evaluated_and_answers(
    fresh: Platform, tmp_path: Path
) -> None:
    text = script(fresh, tmp_path)
    (tmp_path / ".curlrc").write_text("silent\nshow-error\n")  # no progress among the answers
    variables = {**fresh.env, "FOREBAY_URL": fresh.url, "CURL_HOME": str(tmp_path)}
    ended = subprocess.run(
        ["sh", "-c", text], cwd=PROJECT, env=variables, text=True, timeout=3000,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout
    report_files.write("quick-start.txt", ended.stdout)
    assert "promotion smollm2-135m:manual: smollm2-135m-manual@1 is serving" in ended.stdout
    # curl ends no line: what the next command prints follows on it.
    answer, _end = json.JSONDecoder().raw_decode(ended.stdout[ended.stdout.index('{"choices"') :])
    assert answer["model"] == "smollm2-135m:manual"
    assert answer["choices"][0]["message"]["content"]
    match = re.search(r"perplexity: .* against it \((?P<change>[+-][\d.]+) %\)", ended.stdout)
    assert match, ended.stdout
    assert float(match["change"]) < 0
    has_its_report(fresh, *re.findall(r"^evaluation ([0-9a-f-]{36})", ended.stdout, re.M))


def has_its_report(platform: Platform, evaluation: str) -> None:
    with Owner(platform) as owner:
        for form in ("json", "html"):
            content = owner.report_file(evaluation, form)
            assert b"erplexity" in content
            report_files.write(f"quick-start-evaluation.{form}", content)
