"""Fifty prompts planted on every path, and their answers: found nowhere in clear.

Not in PostgreSQL's files and WAL, Valkey's dump, memory and traffic (Celery's messages among it),
logs in JSON, traces or error pages; neither as they are nor in hex or base64. The engine says every
prompt back, so answers and errors carry them too. Marks that were planted in clear are found by the
same search.
"""

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import redis
from django.conf import settings

from tests.collector import Collector
from tests.e2e import sinks
from tests.e2e.ask import client, eventually
from tests.e2e.conftest import Platform
from tests.inference.chat.page import Socket
from tests.inference.chat.people import sessions

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


@dataclass
class Planting:
    """What was planted, under one marker, and what came back."""

    marker: str = field(default_factory=lambda: f"kestrel{secrets.token_hex(6)}")
    count: int = 0
    answered: int = 0  # answers with the prompt in them: there was something to be found
    refusals: list[httpx.Response] = field(default_factory=list)

    def prompt(self, direction: str = "") -> str:
        self.count += 1
        return f"{self.marker}{self.count:02} {direction}".strip()

    def told(self, text: str) -> None:
        self.answered += self.marker in text


@pytest.mark.slow(seconds=20)
def test_no_prompt_and_no_answer_rests_in_clear(
    echoing: Platform, collector: Collector, capsys: pytest.CaptureFixture[str]
) -> None:
    planted, mark = Planting(), f"clear{secrets.token_hex(8)}"
    in_clear(echoing, mark)
    with sinks.overheard(echoing) as traffic:
        completions(echoing, planted)
        responses(echoing, planted)
        conversations(echoing, planted)
        batches(echoing, planted)
        memory = sinks.memory(echoing)
        failures(echoing, planted)
        refusals(echoing, planted)
        settled(echoing)
        redis.Redis.from_url(echoing.running()["REDIS_URL"]).set("mark", mark)
    memory += sinks.memory(echoing)
    sinks.write_down(echoing)
    found = {
        "files": sinks.in_files(echoing.home.parent, planted.marker),
        "memory": sinks.in_bytes(memory, planted.marker),
        "traffic": sinks.in_bytes(traffic.text, planted.marker),
        "traces": sinks.in_bytes(collector.text, planted.marker),
        "error pages": [
            f"{answer.request.url.path} {answer.status_code}"
            for answer in planted.refusals
            if sinks.in_bytes(answer.content, planted.marker)
        ],
    }
    with capsys.disabled():
        told = f"{planted.count} prompts planted, {planted.answered} answered"
        looked = f"{len(traffic.text):,} bytes of Valkey's traffic"
        print(f"\n  {told}; {looked}; found: {sum(map(len, found.values()))}")
    assert planted.count >= 50
    assert planted.answered >= 30
    assert len(planted.refusals) >= 10
    assert found == {place: [] for place in found}
    the_search_finds(echoing, mark, traffic.text, memory)
    every_way_was_traced(collector)


def every_way_was_traced(collector: Collector) -> None:
    """From each door to the engine."""

    def begun_at() -> set[str]:
        spans = collector.spans()
        asked = {span.trace for span in spans if span.name.endswith(" echo")}
        return {span.name for span in spans if not span.parent and span.trace in asked}

    eventually(lambda: begun_at() >= {"POST /v1/inference", "chat message", "batch line"}, 30)


def in_clear(platform: Platform, mark: str) -> None:
    """A name that is no secret, and a path that a log shows."""
    platform.manage("create_tenant", f"t{mark}")
    with (Path(platform.home) / "logs" / "mark.log").open("w") as log:
        log.write(f"a line with {mark} in it\n")


def the_search_finds(platform: Platform, mark: str, traffic: bytes, memory: bytes) -> None:
    files = sinks.in_files(platform.home.parent, mark)
    for place in ("postgres/base/", "postgres/pg_wal/", "run/dump.rdb", "logs/mark.log"):
        assert [line for line in files if place in line], f"{place} not looked through: {files}"
    assert sinks.in_bytes(traffic, mark)
    assert sinks.in_bytes(memory, mark)


def completions(platform: Platform, planted: Planting) -> None:
    with client(platform) as asking:
        for _ in range(8):
            planted.told(asking.post("/v1/chat/completions", json=chat(planted.prompt())).text)
        for _ in range(6):
            planted.told(asking.post("/v1/completions", json=text(planted.prompt())).text)
        for _ in range(4):
            body = {"model": "echo", "prompt": planted.prompt()}
            planted.told(asking.post("/v1/inference", json=body).text)
        for path, ask in (("/v1/chat/completions", chat), ("/v1/completions", text)):
            for _ in range(4):
                streamed = {**ask(planted.prompt()), "stream": True}
                planted.told(asking.post(path, json=streamed).text)
        for _ in range(2):
            given_up(asking, planted)


def responses(platform: Platform, planted: Planting) -> None:
    """Stored ones, which are retrieved, continued, listed by their items and deleted."""
    path = "/v1/responses"
    with client(platform) as asking:
        first = asking.post(path, json=question(planted)).json()
        body = {**question(planted), "previous_response_id": first["id"], "background": True}
        second = asking.post(path, json=body).json()
        own = f"{path}/{second['id']}"
        planted.told(eventually(lambda: ended(asking.get(own))))
        planted.told(asking.get(f"{own}/input_items").text)
        planted.told(asking.post(path, json={**question(planted), "stream": True}).text)
        for response in (first, second):
            assert asking.delete(f"{path}/{response['id']}").status_code == 200


def question(planted: Planting) -> dict[str, Any]:
    return {"model": "echo", "input": planted.prompt(), "metadata": {"of": planted.marker}}


def ended(answer: httpx.Response) -> str:
    return answer.text if answer.json()["status"] == "completed" else ""


def given_up(asking: httpx.Client, planted: Planting) -> None:
    """Nobody reads to the end; what is left lies in Valkey for who may come back."""
    body = {**chat(planted.prompt()), "stream": True}
    with asking.stream("POST", "/v1/chat/completions", json=body) as answer:
        planted.told(next(line for line in answer.iter_lines() if planted.marker in line))


def conversations(platform: Platform, planted: Planting) -> None:
    people = sessions(platform)
    for _ in range(3):
        socket = Socket(platform.url, people["bob"], "acme")
        started = socket.send(planted.prompt(), model="echo")
        planted.told(started["conversation"]["title"])
        planted.told(socket.answer())
        socket.send(planted.prompt(), model="echo", conversation=started["conversation"]["id"])
        planted.told(socket.answer())
        rename(platform, people["bob"], started["conversation"]["url"], planted)
        socket.close()


def rename(platform: Platform, session: str, url: str, planted: Planting) -> None:
    with httpx.Client(base_url=platform.url, cookies={"forebay_session": session}) as browser:
        page = browser.get(url)
        planted.told(page.text)
        token = browser.cookies["csrftoken"]
        headers = {"X-CSRFToken": token, "Referer": platform.url}
        sent = browser.post(f"{url}title/", data={"title": planted.prompt()}, headers=headers)
        assert sent.status_code < 400, sent.text
        planted.told(browser.get("/chat/conversations/?tenant=acme").text)


def batches(platform: Platform, planted: Planting) -> None:
    """Prompts in a file, and words in its name and in what is noted of the batch."""
    url = "/v1/chat/completions"
    lines = [
        {"custom_id": planted.prompt(), "method": "POST", "url": url, "body": body}
        for body in [chat(planted.prompt()) for _ in range(3)]
        + [{**chat(planted.prompt()), "temperature": planted.prompt()}]
    ]
    content = "\n".join(map(json.dumps, lines))
    with client(platform) as asking:
        form: Any = {"data": {"purpose": "batch"}, "files": {"file": (planted.prompt(), content)}}
        file = asking.post("/v1/files", **form).json()
        planted.told(file["filename"])
        asked: Any = {"input_file_id": file["id"], "endpoint": url, "completion_window": "24h"}
        asked["metadata"] = {"job": planted.prompt()}
        batch = asking.post("/v1/batches", json=asked).json()

        def ended() -> Any:
            found = asking.get(f"/v1/batches/{batch['id']}").json()
            return found if found["status"] == "completed" else None

        found = eventually(ended, 30)
        planted.told(found["metadata"]["job"])
        for name in ("output_file_id", "error_file_id"):
            planted.told(asking.get(f"/v1/files/{found[name]}/content").text)


def failures(platform: Platform, planted: Planting) -> None:
    """Engines that fail, with the prompt in what they say about it, and ones that never end."""
    with client(platform) as asking:
        for direction in ("FAIL", "BREAK", "SLOW"):
            for stream in (False, True):
                body = {**chat(planted.prompt(direction)), "stream": stream}
                answer = asking.post("/v1/chat/completions", json=body)
                planted.told(answer.text)
                if direction == "FAIL":
                    planted.refusals.append(answer)
        body = chat(planted.prompt("REFUSE"))
        assert asking.post("/v1/chat/completions", json=body).status_code == 400


def refusals(platform: Platform, planted: Planting) -> None:
    with client(platform) as asking, client(platform, "sk-none") as stranger:
        for path in ("/v1/chat/completions", "/v1/completions", "/v1/inference"):
            prompt = planted.prompt()
            for body in (
                {**chat(prompt), "model": "nowhere"},
                {**chat(prompt), "temperature": prompt},
                {"model": "echo", "messages": prompt, "prompt": {"a": prompt}},
            ):
                planted.refusals.append(asking.post(path, json=body))
            planted.refusals.append(asking.post(path, content=f'{{"messages": "{prompt}'))
            planted.refusals.append(stranger.post(path, json=chat(prompt)))
        for path in ("/api/v1/me/", "/chat/", "/nowhere/", "/login/"):
            planted.refusals.append(asking.post(path, content=planted.prompt()))
    assert {answer.status_code for answer in planted.refusals} >= {400, 401, 404}


def settled(platform: Platform) -> None:
    """Whatever was left to itself has come to its end."""

    def none_open() -> bool:
        query = "select count(*) from inference_completion where state = 'open'"
        with psycopg.connect(platform.running()["DATABASE_URL"], **settings.SEES_ALL) as database:
            found = database.execute(query).fetchone()
        return bool(found and found[0] == 0)

    eventually(none_open, 30)


def chat(prompt: str) -> dict[str, object]:
    return {"model": "echo", "messages": [{"role": "user", "content": prompt}]}


def text(prompt: str) -> dict[str, object]:
    return {"model": "echo", "prompt": prompt}
