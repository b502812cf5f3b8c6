"""The playground over its socket, and its code as a stranger runs it."""

import html
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from tests.e2e.conftest import Mock, Platform

pytestmark = pytest.mark.e2e
Browse = Callable[[str], httpx.Client]
PATIENCE_S = 20
AWKWARD = 'It\'s "quoted": $HOME `date` \\ 你好'


class Runs:
    def __init__(self, platform: Platform, session: str) -> None:
        url = f"{platform.url.replace('http', 'ws', 1)}/ws/playground/?tenant=acme&language=en"
        cookie = {"Cookie": f"forebay_session={session}"}
        self._stack = ExitStack()
        opening = connect(
            url, origin=Origin(platform.url), additional_headers=cookie, close_timeout=1
        )
        self.socket: ClientConnection = self._stack.enter_context(opening)

    def close(self) -> None:
        self._stack.close()

    def begin(self, model: str = "mock", **fields: str) -> None:
        self.socket.send(json.dumps({"model": model, "fields": {"prompt": AWKWARD, **fields}}))

    def hear(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.socket.recv(PATIENCE_S))
        return message

    def all(self) -> list[dict[str, Any]]:
        return [json.loads(message) for message in self.socket]


@pytest.fixture
def runs(platform: Platform, people: dict[str, str]) -> Iterator[Callable[[str], Runs]]:
    with ExitStack() as stack:
        yield lambda who: stack.enter_context(closing(Runs(platform, people[who])))


def listed(client: httpx.Client, request: str) -> dict[str, Any]:
    body: dict[str, Any] = client.get(f"/api/v1/tenants/acme/requests/{request}/").json()
    return body


def test_a_run_streams_and_is_a_request_like_any_other(
    runs: Callable[[str], Runs], engine: Mock, browse: Browse
) -> None:
    engine.behave(tokens=5, interval_ms=1)
    run = runs("alice")
    run.begin(system="Be brief.", temperature="0.5", stop="END", max_tokens="50")
    messages = run.all()
    assert messages[0]["type"] == "started"
    assert messages[-1]["type"] == "end"
    chunks = [c for m in messages if m["type"] == "events" for c in m["chunks"]]
    pieces = [choice["delta"].get("content") for c in chunks for choice in c["choices"]]
    assert len("".join(filter(None, pieces))) > 0
    assert chunks[-1]["usage"]["completion_tokens"] == 5
    sent = engine.last_body()
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert sent["messages"][1]["content"] == AWKWARD
    assert (sent["temperature"], sent["stop"], sent["max_tokens"]) == (0.5, ["END"], 50)
    recorded = listed(browse("alice"), messages[0]["request"])
    assert (recorded["route"], recorded["state"]) == ("playground", "done")
    assert recorded["usage"]["completion_tokens"] == 5
    page = browse("alice").get(f"/console/t/acme/requests/{messages[0]['request']}/").text
    assert "Playground" in page


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"model": "nowhere"}, 404, "model_not_found"),
        ({"tools": "{"}, 400, "invalid_request"),
        ({"schema": '{"$ref": "https://elsewhere.example/"}'}, 400, "invalid_request"),
    ],
)
def test_a_refusal_is_what_a_program_would_get(
    runs: Callable[[str], Runs], fields: dict[str, str], status: int, code: str
) -> None:
    run = runs("alice")
    run.begin(**fields)
    (message,) = run.all()
    assert (message["type"], message["status"]) == ("error", status)
    assert message["code"] in (code, "unsupported_value")
    assert message["message"]


def test_leaving_cancels(runs: Callable[[str], Runs], engine: Mock, browse: Browse) -> None:
    engine.behave(tokens=4000, interval_ms=20)
    run = runs("alice")
    run.begin()
    request = run.hear()["request"]
    while run.hear()["type"] != "events":
        pass
    run.close()
    until = time.monotonic() + PATIENCE_S
    while listed(browse("alice"), request)["state"] == "open":
        assert time.monotonic() < until
        time.sleep(0.1)
    assert listed(browse("alice"), request)["state"] == "cancelled"


@pytest.mark.parametrize("who", ["bob", "carol", "charlie"])
def test_members_auditors_and_strangers_are_kept_out(runs: Callable[[str], Runs], who: str) -> None:
    with pytest.raises(InvalidStatus):
        runs(who)


def code_of(client: httpx.Client, language: str, key: str) -> str:
    page = client.get("/console/t/acme/playground/").text
    match = re.search(rf'id="text-playground-{language}"[^>]*>(.*?)</pre>', page, re.DOTALL)
    assert match
    return html.unescape(match[1]).replace("KEY", key)


def test_the_code_runs_as_it_stands(
    platform: Platform, engine: Mock, browse: Browse, tmp_path: Path
) -> None:
    engine.behave(tokens=5, interval_ms=1)
    key, client = platform.new_key(), browse("alice")
    curl = ["bash", "-c", code_of(client, "curl", key)]
    answer = json.loads(subprocess.run(curl, capture_output=True, check=True, timeout=60).stdout)
    assert answer["choices"][0]["message"]["content"]
    script = tmp_path / "sample.py"
    script.write_text(code_of(client, "python", key))
    python = [sys.executable, str(script)]
    printed = subprocess.run(python, capture_output=True, check=True, timeout=60, text=True).stdout
    assert printed.strip()
