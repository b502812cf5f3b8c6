"""What `launch` in an entry may say, and which files it may name."""

from pathlib import Path
from typing import Any

import pytest

from inference import engine_entries, engine_launch
from inference.registry.checking import check

pytestmark = pytest.mark.unit
MODEL = {"model": "deepseek-ai/DeepSeek-R1"}


@pytest.mark.parametrize(
    ("kind", "given", "problem"),
    [
        ("openai", MODEL, "for the kinds"),
        ("vllm", {}, "model"),
        ("vllm", {"model": ""}, "model is empty"),
        ("vllm", {**MODEL, "shell": "rm"}, "unknown field"),
        ("vllm", {**MODEL, "args": "--a --b"}, "Expected `array`"),
        ("vllm", {**MODEL, "args": ["--api-key", "x"]}, "--api-key is not for args"),
        ("vllm", {**MODEL, "args": ["--enable_log_requests"]}, "--enable-log-requests"),
        ("vllm", {**MODEL, "args": ["--port=80"]}, "--port"),
        ("llama_cpp", {**MODEL, "command": "/bin/sh"}, "command and args are for the kind vllm"),
        ("vllm", {**MODEL, "gpus": [0], "env": {"CUDA_VISIBLE_DEVICES": "1"}}, "not in both"),
    ],
)
def test_what_makes_no_server(kind: str, given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        engine_launch.read(kind, given)


@pytest.mark.parametrize(
    "url",
    [
        "http://gpu-1:8000/v1",
        "https://127.0.0.1:8000",
        "http://127.0.0.1/v1",
        "http://localhost:80",
    ],
)
def test_a_server_of_ours_listens_here_alone(url: str) -> None:
    with pytest.raises(ValueError, match="the url must be"):
        engine_launch.port_of(url)


def test_an_entry_without_an_address_needs_the_supervisor() -> None:
    (entry,) = engine_entries.entries({"m": {"kind": "vllm", "launch": MODEL}})
    with pytest.raises(ValueError, match="launch without a url is for `make run`"):
        check(entry)


def test_a_file_outside_the_folders_is_none(tmp_path: Path) -> None:
    inside, outside = tmp_path / "models", tmp_path / "outside.gguf"
    inside.mkdir()
    for file in (outside, inside / "a.gguf"):
        file.write_bytes(b"GGUF....")
    (inside / "link.gguf").symlink_to(outside)
    (inside / "text.gguf").write_text("text")
    assert engine_launch.model_file([tmp_path / "none", inside], "a.gguf") == inside / "a.gguf"
    assert engine_launch.model_file([inside], str(inside / "a.gguf")) == inside / "a.gguf"
    for given in ("../outside.gguf", str(outside), "link.gguf", "b.gguf", ".", "a\0"):
        with pytest.raises(ValueError, match="no file"):
            engine_launch.model_file([inside], given)
    with pytest.raises(ValueError, match="not a GGUF file"):
        engine_launch.model_file([inside], "text.gguf")


def test_a_file_that_cannot_be_read_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    (tmp_path / "a.gguf").write_bytes(b"GGUF....")
    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(ValueError, match="cannot be read"):
        engine_launch.model_file([tmp_path], "a.gguf")


@pytest.mark.parametrize("name", ["引" * 67, "a\x1b[31m", "a\rb", "a\0"])
def test_workers_have_files_of_these_names(name: str) -> None:
    """Longer ones than a file system takes would keep each later engine from its worker."""
    assert engine_entries.name_problem(name)
    assert not engine_entries.name_problem("引" * 66)


def test_entries_are_the_same_when_written_out() -> None:
    short = {"kind": "openai", "url": "http://a:1"}
    engines: dict[str, Any] = {
        "one": short,
        "two": {"pools": {"p": {**short, "condition": "failover", "engines": [{}, {"slots": 2}]}}},
    }
    found = engine_entries.entries(engines)
    assert engine_entries.entries(engine_entries.configured(found)) == found
