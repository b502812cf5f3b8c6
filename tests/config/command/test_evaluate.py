"""`forebay evaluate`: what it sends, what it prints, and how it ends."""

import json
from pathlib import Path
from typing import Any

import pytest

from config.command import evaluate as command
from config.command.operating.api_client import ApiAnswer, ApiClient

LINE = '{"prompt": "Capital of France:", "choices": ["Paris", "Rome"], "answer": 0}\n'
FIGURE = {
    "name": "accuracy",
    "better": "higher",
    "candidate": {"value": 0.9, "low": 0.7, "high": 0.97},
    "against": {"value": 0.95, "low": 0.76, "high": 0.99},
    "difference": {"value": -0.05, "relative": False},
    "baselines": {"chance": 0.5},
}
ROW = {
    "id": "e1",
    "model": "support",
    "task_set_name": "capitals",
    "task_set_version": 1,
    "sha256": "9f" * 32,
    "state": "succeeded",
    "error_code": "",
    "report": {"figures": [FIGURE], "agreement": {"value": 0.95, "low": 0.8, "high": 1.0}},
}


class Platform:
    """Answers in turn, and what it was sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *rows: dict[str, Any]) -> None:
        self.sent: list[tuple[str, str, Any]] = []
        self._rows = list(rows)
        monkeypatch.setattr(ApiClient, "send", self._send)
        monkeypatch.setattr(command, "LOOK_EVERY_S", 0)
        monkeypatch.setenv("FOREBAY_API_KEY", "sk-fb-test")
        monkeypatch.setenv("FOREBAY_URL", "http://127.0.0.1:9")

    def _send(self, method: str, path: str, body: Any = None, etag: str = "") -> ApiAnswer:
        self.sent.append((method, path, body))
        if path == "me/":
            return ApiAnswer(200, {"tenants": [{"tenant": "acme"}]}, "", "")
        if path.endswith("task-sets/"):
            return ApiAnswer(201, {"id": "t1"}, "", "")
        return ApiAnswer(200, self._rows.pop(0), "", "")


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    file = tmp_path / "Our Capitals.jsonl"
    file.write_text(LINE)
    return file


@pytest.mark.unit
def test_it_waits_and_prints_figures_beside_their_baselines(
    monkeypatch: pytest.MonkeyPatch, tasks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    queued = {**ROW, "state": "queued", "report": None}
    platform = Platform(monkeypatch, queued, {**queued, "state": "running"}, ROW)
    typed = ["support", "--tasks", str(tasks), "--against", "support-f16", "--test-percent", "50"]
    assert command.evaluate(typed) == 0
    _method, path, task_set = platform.sent[1]
    assert path == "tenants/acme/task-sets/"
    assert (task_set["name"], task_set["kind"]) == ("our-capitals", "choices")
    assert task_set["options"] == {"test_percent": 50}
    asked = {"task_set": "t1", "model": "support", "against": "support-f16"}
    assert platform.sent[2] == ("POST", "tenants/acme/evaluations/", asked)
    printed = capsys.readouterr().out
    assert "accuracy: 0.9 (0.7 to 0.97), 0.95 against it (-5.00 points); chance 0.5" in printed
    assert "the same answers: 0.95" in printed


@pytest.mark.unit
def test_a_failed_one_ends_with_1_and_its_reason(
    monkeypatch: pytest.MonkeyPatch, tasks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Platform(monkeypatch, {**ROW, "state": "failed", "error_code": "cannot_score", "report": None})
    assert command.evaluate(["support", "--tasks", str(tasks)]) == 1
    assert "failed cannot_score" in capsys.readouterr().out


@pytest.mark.unit
def test_programs_get_the_report(
    monkeypatch: pytest.MonkeyPatch, tasks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Platform(monkeypatch, ROW)
    assert command.evaluate(["support", "--tasks", str(tasks), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ROW["report"]


@pytest.mark.unit
@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b'\xef\xbb\xbf{"text": "a"}', "perplexity"),
        (b'{"prompt": "a", "answer": "b"}', "exact"),
        (b'{"prompt": "a"}', "agreement"),
    ],
)
def test_the_kind_is_that_of_the_first_line(
    monkeypatch: pytest.MonkeyPatch, tasks: Path, content: bytes, kind: str
) -> None:
    tasks.write_bytes(content)
    platform = Platform(monkeypatch, ROW)
    command.evaluate(["support", "--tasks", str(tasks)])
    assert platform.sent[1][2]["kind"] == kind


@pytest.mark.unit
@pytest.mark.parametrize("content", [b"no JSON", b"[1]", b"\xff", b""])
def test_a_file_that_is_no_task_set_ends_with_2(
    monkeypatch: pytest.MonkeyPatch, tasks: Path, content: bytes
) -> None:
    tasks.write_bytes(content)
    Platform(monkeypatch, ROW)
    assert command.evaluate(["support", "--tasks", str(tasks)]) == 2


@pytest.mark.unit
def test_without_a_key_it_says_where_one_is_made(
    monkeypatch: pytest.MonkeyPatch, tasks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FOREBAY_API_KEY", raising=False)
    assert command.evaluate(["support", "--tasks", str(tasks)]) == 2
    assert "FOREBAY_API_KEY_FILE: a tenant makes one" in capsys.readouterr().err
