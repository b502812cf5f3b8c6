"""Pools and engines: what an operator sees of them, makes of them, and takes away."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.test import Client
from redis import Redis, RedisError

from console.serving import engines as engine_pages
from console.serving import pool_lines
from inference import engines
from inference.engines.health import reachability
from inference.models import Engine, Model, Pool, State, Usage
from inference.queue.engine_window import EngineWindow, Failure, packed
from inference.queue.engine_window import key as window_key
from inference.queue.fair_queue import FairQueue, prefix
from inference.queue.occupancy import new_runner_id
from inference.registry.following import load_once
from inference.registry.importing import import_file
from infrastructure.redis.link import RedisLink
from tenants.models import Member, Tenant, User
from tests.console.asked import completion
from tests.console.conftest import SignIn
from tests.console.serving.conftest import BY, ENGINES, POOLS, URL, acts, changed, page, sent
from tests.inference.orders import an_item

NEW = {"pool": "here", "name": "gpu-2", "kind": "vllm", "url": URL, "slots": "8"}


def url(engine: Engine, act: str = "") -> str:
    return f"{ENGINES}{engine.pk}/{act}"


def test_each_pool_with_its_engines(client: Client, engine: Engine) -> None:
    import_file()
    for path in (POOLS, f"{POOLS}live/"):
        found = page(client, path)
        for text in ("large", "here", "gpu-1", "vllm", URL, "ready", "mock", "from file"):
            assert text in found, path
        assert "sk-hidden" not in found
        assert "sealed:" not in found


def test_a_password_in_an_address_is_not_shown(client: Client, engine: Engine) -> None:
    address = "https://gpu-1:8000/v1?key=pa55word"
    engine.change(by=BY, url=address, api_key="")
    for path in (POOLS, url(engine)):
        assert "https://gpu-1:8000/v1" in page(client, path)
        assert "pa55word" not in page(client, path)
    changed(client, engine, url="https://gpu-1:8000/v1", slots="5")
    engine.refresh_from_db()
    assert (engine.url, engine.slots) == (address, 5)
    with_password = "https://somebody:pa55word@gpu-1:8000/v1"
    assert "Put no user name" in changed(client, engine, url=with_password, slots="6")


async def _filled(pool: str) -> None:
    link = RedisLink(settings.REDIS_URL)
    queue = FairQueue(link, pool)
    for _ in range(5):
        await queue.enqueue(an_item(), b"x")
    await queue.pop(3, new_runner_id("gpu-1"))
    link.close()


def test_what_waits_and_what_runs(client: Client, engine: Engine, valkey: Redis) -> None:
    async_to_sync(_filled)("here")
    (line,) = pool_lines.pool_lines()
    assert line.occupancy
    assert (line.occupancy.waiting, line.occupancy.running) == (2, 3)
    assert line.engines[0].busy == 3
    assert "3 / 4" in page(client, f"{POOLS}live/")
    valkey.delete(*valkey.keys(f"{prefix('here')}:*"))


def test_without_redis_it_says_so(
    client: Client, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_pools: Any) -> None:
        raise RedisError

    monkeypatch.setattr(pool_lines, "occupancy", away)
    assert "Redis is unavailable" in page(client, POOLS)


def test_figures_of_the_last_minutes(
    acme: Tenant, pool: Pool, django_assert_num_queries: Any
) -> None:
    for ttft in range(10, 110, 10):
        completion(acme, ttft_ms=ttft, completion_tokens=60)
    completion(acme, state=State.FAILED, seconds_ago=100, error_code="engine_failed")
    completion(acme, state=State.FAILED, seconds_ago=90, error_code="worker_lost")
    Usage.objects.update(pool="here", queue_ms=7)
    completion(acme, seconds_ago=400)
    with django_assert_num_queries(1):
        found = pool_lines.by_pool()["here"]
    assert (found.requests, found.errors, found.last_error) == (12, 2, "worker_lost")
    assert (found.tokens_per_second, found.ttft_p50, found.ttft_p95) == (10.0, 60, 100)
    assert (found.queue_p50, found.queue_p95) == (7, 7)
    with django_assert_num_queries(0):
        pool_lines.by_pool()


def test_each_engine_says_what_it_has_done(
    client: Client, engine: Engine, sign_in: SignIn, alice: User, valkey: Redis
) -> None:
    """Added up from its workers; nothing of it is a tenant's, and only operators see it."""
    name = window_key("here", "gpu-1")
    now = time.time()
    for worker in ("one", "two"):
        window = EngineWindow()
        window.came(3600, now)
        window.ended(now, 50, 400)
        window.failed(Failure(now, 502, "engine_failed", "it broke off an answer"))
        valkey.hset(name, worker, packed(window))
    failed = f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S}"
    for path in (f"{POOLS}live/", url(engine, "live/"), url(engine)):
        found = page(client, path)
        for text in ("15 min: ", "engine_failed", failed):
            assert text in found, path
    assert "it broke off an answer" in page(client, url(engine))
    (line,) = pool_lines.pool_lines()
    figures = line.engines[0].figures
    assert figures
    assert (figures.requests, figures.errors) == (2, 2)
    assert 100 < figures.tokens_per_second <= 120
    client.post("/i18n/setlang/", {"language": "zh-hans", "next": POOLS})
    assert "最近一次错误" in page(client, POOLS)
    assert "它中断了一次应答" in page(client, url(engine))
    assert sign_in(alice).get(url(engine)).status_code in (403, 404)
    valkey.delete(name)


def test_an_engine_that_is_down_says_since_when_and_why(
    client: Client, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    since = datetime.now(UTC) - timedelta(hours=1)
    monkeypatch.setitem(reachability._down, "gpu-1", since)
    found = page(client, POOLS)
    assert "it does not answer" in found
    assert f"since {since:%Y-%m-%d %H:%M:%S}" in found
    monkeypatch.setitem(reachability._causes, "gpu-1", "its certificate is not accepted: expired")
    assert "its certificate is not accepted: expired" in page(client, POOLS)
    client.post("/i18n/setlang/", {"language": "zh-hans", "next": POOLS})
    assert "其证书不被接受：expired" in page(client, POOLS)
    client.post("/i18n/setlang/", {"language": "en", "next": POOLS})
    engine.drain(by=BY)
    assert "draining" in page(client, POOLS)


def test_an_engine_that_rests_says_that_it_saves_energy(client: Client, engine: Engine) -> None:
    assert "to save energy" not in page(client, POOLS)
    engine.rest(by=BY)
    assert "to save energy" in page(client, POOLS)


def test_an_engine_is_drained_resumed_and_removed(
    client: Client, operator: User, engine: Engine
) -> None:
    assert "takes no new requests" in sent(client, url(engine, "draining/"))
    assert Engine.objects.get().draining
    assert "takes requests again" in sent(client, url(engine, "resumption/"))
    assert not Engine.objects.get().draining
    assert "gpu-1 is removed" in sent(client, url(engine, "removal/"))
    assert not Engine.objects.exists()
    for act in ("drain", "resume", "remove"):
        ((actor, detail),) = acts(f"engine:{act}")
        assert (actor, detail["name"]) == (operator.actor, "gpu-1")


def test_an_act_on_what_was_removed_meanwhile_finds_nothing(
    client: Client, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second click reads the engine, and then waits for its removal."""
    row = Engine.objects.select_related("pool__model").get()
    engine.remove(by=BY)
    monkeypatch.setattr(engine_pages, "_engine_row", lambda _id: row)
    for act in ("draining", "removal"):
        assert client.post(url(row, f"{act}/")).status_code == 404


def test_what_the_file_declares_is_read_only(client: Client, db: None) -> None:
    import_file()
    engine = Engine.objects.get()
    assert "Drain" not in page(client, POOLS)
    assert "Save" not in page(client, url(engine))
    for act in ("draining/", "resumption/", "removal/"):
        assert "is declared in FOREBAY_ENGINES" in sent(client, url(engine, act))
    changed(client, engine, url=URL, slots="9")
    sent(client, f"{POOLS}{engine.pool.pk}/removal/")
    engine.refresh_from_db()
    assert (engine.slots, engine.draining) == (4, False)


def pressed(page: str) -> list[str]:
    """Returns the states of the breaker's buttons that apply."""
    return re.findall(r'value="(\w+)"[^>]*aria-pressed="true"', page)


def test_a_breaker_is_kept_open_and_let_be(
    client: Client, operator: User, db: None, valkey: Redis
) -> None:
    import_file()  # the engine that this process has in force
    engine = Engine.objects.get()
    path = url(engine, "breaker/")
    assert "no request goes there" in sent(client, path, state="open")
    found = page(client, url(engine))
    assert "by hand" in found
    assert pressed(found) == ["open"]
    assert operator.actor in found
    assert "whatever happens" in sent(client, path, state="closed")
    assert "is automatic" in sent(client, path, state="automatic")
    found = page(client, POOLS)
    assert "by hand" not in found
    assert pressed(found) == ["automatic"]
    states = [(actor, detail["state"]) for actor, detail in acts("engine:breaker")]
    assert states == [(operator.actor, each) for each in ("open", "closed", "automatic")]
    assert client.post(path, {"state": "ajar"}).status_code == 404
    valkey.delete(f"{{breaker}}:history:{engine.name}")


def test_an_engines_page_is_live_but_for_its_form(
    client: Client, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = url(engine, "live/")
    assert f'hx-get="{live}"' in page(client, url(engine))
    assert "ready" in page(client, live)
    monkeypatch.setitem(reachability._down, "gpu-1", datetime.now(UTC))
    found = page(client, live)
    assert "it does not answer" in found
    assert "Change engine" not in found
    assert "<html" not in found


def test_an_engine_is_made_and_changed(client: Client, operator: User, pool: Pool) -> None:
    options = '{"context_length": 65536}'
    found = sent(client, f"{ENGINES}addition/", **NEW, api_key="sk-new", options=options)
    assert "gpu-2 is there" in found
    made = Engine.objects.get()
    assert (made.pool, made.slots, made.options) == (pool, 8, {"context_length": 65536})
    assert made.api_key.startswith("sealed:")
    before = made.api_key
    found = changed(client, made, url=URL, slots="9", hosted="on", options="")
    assert "gpu-2 is changed" in found
    made.refresh_from_db()
    assert (made.slots, made.hosted, made.options) == (9, True, {})
    assert made.api_key == before, "an empty field leaves it as it is"
    ((actor, detail),) = acts("engine:change")
    assert (actor, detail["slots"]) == (operator.actor, [8, 9])
    assert "sk-new" not in str(acts("engine:add"))


def test_slots_that_follow_the_engine(client: Client, engine: Engine) -> None:
    changed(client, engine, url=URL, slots=" Auto ")
    engine.refresh_from_db()
    assert (engine.slots, engine.auto_slots) == (4, True)
    form = client.get(url(engine)).context["form"]
    assert form["slots"].value() == "auto"
    engine.follow(1200, by=BY)
    for path in (POOLS, url(engine)):
        assert "auto (1,200)" in page(client, path)
    known = form["known"].initial
    found = sent(client, url(engine), known=known, url=URL, slots="auto", hosted="on")
    assert "gpu-1 is changed" in found, "what only the engine has changed is no change"
    engine.refresh_from_db()
    assert (engine.slots, engine.auto_slots) == (1200, True)
    assert "Enter a whole number" in changed(client, engine, url=URL, slots="many")


def test_of_two_who_change_one_engine_the_second_is_told(client: Client, engine: Engine) -> None:
    known = client.get(url(engine)).context["form"]["known"].initial
    engine.change(by=BY, slots=7)
    found = sent(client, url(engine), known=known, url=URL, slots="9")
    assert "Somebody has changed it meanwhile." in found
    engine.refresh_from_db()
    assert engine.slots == 7


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pool", "nowhere"),
        ("name", "two words"),
        ("name", "gpu-1"),
        ("kind", "parrot"),
        ("url", "ftp://gpu-1/v1"),
        ("slots", "0"),
        ("options", "no JSON"),
        ("options", "[1]"),
        ("options", '{"model": "\\u0000"}'),
        ("options", '{"model": "\\ud800"}'),
        ("options", '{"solts": 4}'),
        ("options", '{"context_length": "long"}'),
    ],
)
def test_a_fault_stands_beside_its_field(
    client: Client, engine: Engine, field: str, value: str
) -> None:
    answer = client.post(f"{ENGINES}addition/", {**NEW, field: value})
    assert list(answer.context["new_engine"].errors) == [field]
    assert "is-invalid" in answer.content.decode()
    assert Engine.objects.count() == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ('{"context_length": "long"}', "应为 `int`，而不是 `str`"),
        ('{"silence_s": 0}', "silence_s 必须是 1 到 3600 秒"),
        ('{"stall_s": 0}', "stall_s 必须是 1 到 3600 秒"),
        ('{"first_token_s": 3601}', "first_token_s 必须是 1 到 3600 秒"),
        ('{"between_tokens_s": -1}', "between_tokens_s 必须是 1 到 3600 秒"),
        ('{"capabilities": {"sight": true}}', "未知的能力"),
    ],
)
def test_a_fault_is_told_in_the_readers_language(
    client: Client, engine: Engine, options: str, said: str
) -> None:
    client.post("/i18n/setlang/", {"language": "zh-hans", "next": POOLS})
    answer = client.post(f"{ENGINES}addition/", {**NEW, "options": options})
    assert said in str(answer.context["new_engine"].errors["options"])


def test_a_pool_is_made_and_removed(client: Client, operator: User, model: Model) -> None:
    form = {"name": "there", "model": "large"}
    assert "there is there" in sent(client, f"{POOLS}addition/", **form)
    assert "This name is taken." in sent(client, f"{POOLS}addition/", **form)
    assert "there is removed" in sent(client, f"{POOLS}{Pool.objects.get().pk}/removal/")
    assert not Pool.objects.exists()
    assert [actor for actor, _ in acts("pool:add") + acts("pool:remove")] == [operator.actor] * 2


def test_others_neither_see_nor_do_it(alice: Member, engine: Engine, sign_in: SignIn) -> None:
    client = sign_in(alice)
    for path in (POOLS, f"{POOLS}live/", url(engine)):
        assert client.get(path).status_code == 403
    for path in (url(engine, "draining/"), url(engine, "removal/"), url(engine, "breaker/")):
        assert client.post(path, {"state": "open"}).status_code == 403
    assert client.post(f"{ENGINES}addition/", NEW).status_code == 403
    assert Engine.objects.filter(draining=False).count() == 1


def test_a_server_that_starts(client: Client, engine: Engine) -> None:
    Engine.objects.update(
        options={"launch": {"model": "a.gguf"}}, starting_since=datetime(2026, 1, 31, 8, tzinfo=UTC)
    )
    for path in (f"{POOLS}live/", url(engine)):
        assert "it loads its model" in page(client, path)
    Engine.objects.update(starting_reason="was killed by SIGKILL")
    for path in (f"{POOLS}live/", url(engine)):
        assert "its server was killed by SIGKILL" in page(client, path)


def test_the_form_starts_a_server_for_a_model_file_alone(
    client: Client, pool: Pool, settings: Any, tmp_path: Path
) -> None:
    (tmp_path / "a.gguf").write_bytes(b"GGUF....")
    (tmp_path / "engines.key").write_text("secret of the home")
    settings.MODEL_FOLDERS, settings.ENGINE_KEYS_FILE = [tmp_path], tmp_path / "engines.key"
    form = {**NEW, "kind": "llama_cpp", "url": "", "options": '{"launch": {"model": "a.gguf"}}'}
    command = '{"launch": {"model": "a.gguf", "command": "/bin/sh"}}'
    said = sent(client, f"{ENGINES}addition/", **{**form, "options": command})
    assert "has to stand in FOREBAY_ENGINES" in said
    assert not Engine.objects.exists()
    sent(client, f"{ENGINES}addition/", **form)
    assert Engine.objects.get().url.startswith("http://127.0.0.1:")


METRICS = b"""vllm:num_requests_running{model_name="m"} 5.0
vllm:num_requests_waiting{model_name="m"} 2.0
vllm:kv_cache_usage_perc{model_name="m"} 0.42
"""


@pytest.fixture
def server() -> Iterator[tuple[str, list[bytes]]]:
    """Its address, and what its /metrics say."""
    said = [METRICS]

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(said[0] if self.path == "/metrics" else b"{}")

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answers)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1", said
    server.shutdown()
    server.server_close()


def test_what_an_engine_says_of_its_load(
    client: Client, engine: Engine, server: tuple[str, list[bytes]]
) -> None:
    where, said = server
    busy = Engine.add(engine.pool, "busy", kind="vllm", url=where, by=BY)
    load_once()
    try:
        found = page(client, url(busy, "live/"))
        assert "5 run, 2 wait" in found
        assert "KV cache 42 % full" in found
        said[0] = b"vllm:num_requests_running NaN\n"
        assert " run, " not in page(client, url(busy, "live/"))
    finally:
        engines.forget()
