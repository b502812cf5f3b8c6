"""Over the API a server is started for a model file, and no command is ever run."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from inference.models import Engine
from tenants.models import User
from tests.console.api.conftest import Api, Enter, errors

pytestmark = pytest.mark.django_db
NEW = {"name": "second", "pool": "here", "kind": "llama_cpp"}
LAUNCH = {"launch": {"model": "a.gguf"}}


@pytest.fixture
def api(operator: User, enter: Enter) -> Api:
    made = enter(operator)
    made.post("models/", name="large")
    made.post("pools/", name="here", model="large")
    return made


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> Path:
    (tmp_path / "a.gguf").write_bytes(b"GGUF....")
    (tmp_path / "engines.key").write_text("secret of the home")
    settings.MODEL_FOLDERS, settings.ENGINE_KEYS_FILE = [tmp_path], tmp_path / "engines.key"
    return tmp_path


def test_it_gets_an_address_and_a_key(api: Api) -> None:
    made = api.post("engines/", **NEW, options=LAUNCH).json()
    engine = Engine.objects.get()
    assert made["url"].startswith("http://127.0.0.1:")
    assert made["has_api_key"]
    assert engine.fields["launch"] == {"model": "a.gguf"}


@pytest.mark.parametrize(
    "launch",
    [
        {"model": "a.gguf", "command": "/bin/sh"},
        {"model": "a.gguf", "args": ["--x"]},
        {"model": "a.gguf", "env": {"LD_PRELOAD": "x.so"}},
        {"model": "a.gguf", "gpus": [0]},
        {"model": "/etc/passwd"},
        {"model": ["a.gguf"]},
        "a.gguf",
    ],
)
def test_no_command_comes_from_here(api: Api, launch: Any) -> None:
    for kind in ("llama_cpp", "vllm"):
        refused = api.post("engines/", **{**NEW, "kind": kind}, options={"launch": launch})
        assert (refused.status_code, list(errors(refused))) == (400, ["options"])
    assert not Engine.objects.exists()


def test_vllm_stands_in_the_file_alone(api: Api) -> None:
    refused = api.post("engines/", **{**NEW, "kind": "vllm"}, options=LAUNCH)
    assert refused.status_code == 400
    assert "FOREBAY_ENGINES" in str(errors(refused)["options"])


def test_its_address_and_its_key_are_ours(api: Api) -> None:
    for own in ({"url": "http://127.0.0.1:6379"}, {"api_key": "x"}):
        assert api.post("engines/", **NEW, options=LAUNCH, **own).status_code == 400
    assert list(errors(api.post("engines/", **NEW))) == ["url"]


def test_a_server_is_not_made_into_another(api: Api) -> None:
    path = f"engines/{api.post('engines/', **NEW, options=LAUNCH).json()['id']}/"
    changes: list[dict[str, Any]] = [{"url": "http://127.0.0.1:6379"}, {"api_key": "x"}]
    for change in (*changes, {"options": {}}):
        assert api.patch(path, **change).status_code == 400, change
    assert api.patch(path, slots=2, options={**LAUNCH, "context_length": 64}).status_code == 200
    other = api.post("engines/", **{**NEW, "name": "far"}, url="http://gpu-1:8000").json()
    assert api.patch(f"engines/{other['id']}/", options=LAUNCH).status_code == 400


def test_where_nothing_could_start_it(api: Api, folder: Path) -> None:
    (folder / "engines.key").unlink()
    refused = api.post("engines/", **NEW, options=LAUNCH)
    assert "could start a server" in str(errors(refused)["options"])


def test_of_several_hosts_none_starts_it(api: Api, settings: Any) -> None:
    """The server would have the key of the worker's host, and the engine that of this one."""
    settings.SEVERAL_HOSTS = True
    refused = api.post("engines/", **NEW, options=LAUNCH)
    assert "could start a server" in str(errors(refused)["options"])


def test_it_says_that_it_is_starting(api: Api) -> None:
    path = f"engines/{api.post('engines/', **NEW, options=LAUNCH).json()['id']}/"
    since = datetime(2026, 1, 31, 8, tzinfo=UTC)
    Engine.objects.update(starting_since=since)
    found = api.get(path).json()
    assert (found["state"], found["state_reason"]) == ("starting", "loading")
    assert found["starting_since"] == since.isoformat()
    assert found["down_since"] is None
    Engine.objects.update(starting_reason="was killed by SIGKILL")
    assert api.get(path).json()["state_reason"] == "was killed by SIGKILL"
    Engine.objects.update(draining=True)
    assert api.get(path).json()["state"] == "draining"
