"""The pages on models: their commands do what they say, typed as they stand there.

What the jobs process and the workers would do meanwhile, a thread does.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from django.db import connection
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from inference import engines
from inference.data_sets import importing
from inference.jobs.bases import Place
from inference.models import DataSetVersion, Evaluation, EvaluationState, Job, JobState, TaskSet
from inference.queue.client import client as redis
from tenants.key_scopes import Scope
from tenants.models import ApiKey, Tenant
from tenants.scope import system_scope
from tests.docs.blocks import commands
from tests.inference.data_sets.conftest import zipped

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow(seconds=60)]
TASKS = '{"prompt": "The sky is", "choices": ["blue", "green"], "answer": 0}\n'
SERVED = {
    name: {"kind": "openai", "url": "http://127.0.0.1:9/v1"} for name in ("support", "support-v2")
}
KEY = "export FOREBAY_API_KEY_FILE=~/.forebay-key"
JOB = re.compile(r"ftjob-[0-9a-f]{32}")


class Reader:
    """Someone of acme with a key in a file, who types one command after the other."""

    def __init__(self, folder: Path, url: str) -> None:
        for name in redis().scan_iter("api:*"):
            redis().delete(name)
        scopes = [Scope.INFERENCE, Scope.MANAGEMENT_READ, Scope.MANAGEMENT_WRITE]
        _key, secret = ApiKey.issue(Tenant.open("acme", by="test"), "ci", scopes=scopes, by="test")
        (folder / ".forebay-key").write_text(secret)
        (folder / ".forebay-key").chmod(0o600)
        self.folder, self.variables = folder, {**os.environ, "HOME": str(folder)}
        self.variables.pop("FOREBAY_OPERATOR_KEY", None)
        programs = Path(sys.executable).parent
        self.variables |= {"PATH": f"{programs}:{os.environ['PATH']}", "FOREBAY_URL": url}

    def types(self, *lines: str) -> str:
        ended = subprocess.run(
            ["sh", "-c", "\n".join(["set -e", KEY, *lines])],
            cwd=self.folder, env=self.variables, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert ended.returncode == 0, f"{lines}: {ended.stderr}"
        return ended.stdout


@pytest.fixture
def reader(live_server: LiveServer, tmp_path: Path) -> Reader:
    return Reader(tmp_path, live_server.url)


@contextmanager
def meanwhile() -> Iterator[None]:
    over = Event()

    def repeat() -> None:
        while not over.wait(0.2):
            with system_scope():
                importing.import_due()
                done = Evaluation.objects.filter(state=EvaluationState.QUEUED)
                done.update(state=EvaluationState.SUCCEEDED)
        connection.close()

    thread = Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def typed_on(page: str, program: str) -> list[str]:
    path = f"docs/models/{page}"
    lines = [each.text for each in commands() if each.page == path]
    lines = [line for line in lines if line.startswith(f"forebay {program} ")]
    assert lines, f"{path} has no command of {program}"
    return lines


def test_data_sets(reader: Reader) -> None:
    (reader.folder / "pages.zip").write_bytes(zipped({"a.md": "# A\n\nOne.\n", "b.md": "# B\n"}))
    with meanwhile():
        printed = reader.types(*typed_on("data-sets.md", "data-sets"))
    assert "data set manual@1: ready" in printed
    assert DataSetVersion.objects.get().rows == 2


def test_jobs(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """`follow` waits for the end, or a pause: the job of the page is paused before."""
    monkeypatch.setattr("inference.jobs.bases.place", lambda *_: Place("large", "here"))
    monkeypatch.setattr("inference.jobs.bases.base_version", lambda *_: None)
    listing, create, *others = typed_on("jobs.md", "jobs")
    reader.types(listing, create)
    job = Job.objects.get()
    assert (job.kind, job.parameters) == ("quantise", {"format": "q8_0"})
    job.pause(by="test")
    assert [line.split()[2] for line in others] == ["follow", "pause"]
    printed = reader.types(*(JOB.sub(job.public_id, line) for line in others))
    assert printed.splitlines()[-1] == f"job {job.public_id}: unchanged, it is paused"
    job.refresh_from_db()
    assert job.state == JobState.PAUSED


def test_evaluation(reader: Reader, settings: Settings) -> None:
    settings.ENGINES = SERVED
    engines.forget()
    (reader.folder / "questions.jsonl").write_text(TASKS)
    with meanwhile():
        printed = reader.types(*typed_on("evaluation.md", "evaluate"))
    assert printed.startswith("support-v2 by questions@1: succeeded\n")
    assert TaskSet.objects.get().kind == "choices"
    evaluation = Evaluation.objects.get()
    assert (evaluation.model, evaluation.against) == ("support-v2", "support")
