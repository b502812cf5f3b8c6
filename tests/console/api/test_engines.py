"""Models, pools and engines are made, changed, drained and removed over the API."""

import time
from ipaddress import ip_network
from typing import Any
from unittest.mock import Mock

import pytest
from django.core.cache import caches
from redis import Redis

from audit.models import Event
from console.api.serving.engines import Engines
from inference import engines
from inference.engines.health import breakers
from inference.engines.transport.failure_reason import NO_ANSWER
from inference.models import Engine, Model, Pool
from inference.queue.engine_window import EngineWindow, Failure, packed
from inference.queue.engine_window import key as window_key
from inference.registry.following import load_once
from inference.registry.importing import import_file
from tenants.models import User
from tests.console.api.conftest import Api, Enter, errors

pytestmark = pytest.mark.django_db
URL = "http://gpu-1:8000/v1"
NEW = {"name": "gpu-1", "pool": "here", "kind": "vllm", "url": URL}


@pytest.fixture
def api(operator: User, enter: Enter) -> Api:
    return enter(operator)


@pytest.fixture
def pool(api: Api) -> str:
    assert api.post("models/", name="large").status_code == 201
    assert api.post("pools/", name="here", model="large").status_code == 201
    return "here"


@pytest.fixture
def engine(api: Api, pool: str) -> str:
    made = api.post("engines/", **NEW, slots=4, api_key="sk-hidden")
    assert made.status_code == 201, made.json()
    return f"engines/{made.json()['id']}/"


def actions() -> list[str]:
    return list(Event.objects.order_by("id").values_list("action", flat=True))


def test_a_model_is_made_with_its_pool_and_engine(api: Api, engine: str) -> None:
    found = api.get(engine).json()
    assert (found["model"], found["pool"], found["slots"]) == ("large", "here", 4)
    assert found["state"] == "ready"
    assert api.get("models/").json()["results"][0]["pools"] == ["here"]
    assert api.get("pools/", name="here").json()["results"][0]["engines"] == ["gpu-1"]
    assert actions()[-3:] == ["model:add", "pool:add", "engine:add"]


def test_what_it_has_done_lately(api: Api, engine: str, valkey: Redis) -> None:
    told, tag = api.get(engine).json()["figures"], api.get(engine).headers["ETag"]
    assert (told["requests"], told["ttft_p50_ms"], told["last_error"]) == (0, None, None)
    window, name, now = EngineWindow(), window_key("here", "gpu-1"), time.time()
    window.came(600, now)
    window.ended(now, 50, 400)
    window.failed(Failure(now, 502, "engine_failed", "it answered 500"))
    valkey.hset(name, "one", packed(window))
    caches["process"].clear()
    read = api.get(engine)
    told = read.json()["figures"]
    assert (told["requests"], told["failed"]) == (1, 1)
    assert 8 < told["tokens_per_second"] <= 10
    assert told["ttft_p95_ms"] == pytest.approx(400, rel=0.2)
    assert told["wait_p50_ms"] == pytest.approx(50, rel=0.2)
    failed = told["last_error"]
    assert (failed.pop("at")[:2], failed) == (
        "20",
        {"status": 502, "code": "engine_failed", "reason": "it answered 500"},
    )
    assert read.headers["ETag"] == tag, "figures change nothing that somebody edits"
    assert api.get("engines/").json()["results"][0]["figures"]["requests"] == 1
    valkey.delete(name)


def test_a_list_reads_the_figures_once(
    api: Api, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.post("engines/", **{**NEW, "name": "gpu-2"})
    read = Mock(return_value={})
    monkeypatch.setattr("console.serving.pool_lines.all_figures", read)
    figures = [each["figures"] for each in api.get("engines/").json()["results"]]
    assert (len(figures), read.call_count) == (2, 1)
    assert figures[0]["requests"] == 0
    read.return_value = None  # Redis is unavailable
    assert api.get("engines/").json()["results"][1]["figures"] is None
    assert read.call_count == 2


def test_slots_follow_the_engine_until_a_number_is_sent(api: Api, engine: str) -> None:
    assert api.get(engine).json()["auto_slots"] is False
    for slots, found in (("auto", (4, True)), (8, (8, False))):
        changed = api.patch(engine, slots=slots).json()
        assert (changed["slots"], changed["auto_slots"]) == found
    made = api.post("engines/", **{**NEW, "name": "gpu-2"}, slots="auto").json()
    assert (made["slots"], made["auto_slots"]) == (16, True)


def test_a_secret_is_stored_sealed_and_never_shown(api: Api, engine: str) -> None:
    assert "sk-hidden" not in api.get(engine).content.decode()
    assert api.get(engine).json()["has_api_key"]
    assert "sk-hidden" not in Engine.objects.get().api_key
    assert api.patch(engine, api_key="sk-other").status_code == 200
    assert Engine.objects.get().fields["api_key"].startswith("sealed:")
    details = str(list(Event.objects.values_list("detail", flat=True)))
    assert "sk-hidden" not in details
    assert "sk-other" not in details


def test_a_secret_does_not_go_to_another_server(api: Api, engine: str) -> None:
    refused = api.patch(engine, url="http://elsewhere:8000/v1")
    assert (refused.status_code, list(errors(refused))) == (400, ["api_key"])
    assert Engine.objects.get().url == URL
    assert api.patch(engine, url="http://gpu-1:8000/v2").status_code == 200
    moved = api.patch(engine, url="http://elsewhere:8000/v1", api_key="")
    assert (moved.status_code, moved.json()["has_api_key"]) == (200, False)


def test_an_engine_is_changed_by_who_has_read_it(api: Api, engine: str) -> None:
    before = api.get(engine).headers["ETag"]
    changed = api.patch(engine, slots=8, options={"context_length": 100})
    assert changed.status_code == 200
    assert changed.json()["slots"] == 8
    assert api.patch(engine, before, slots=9).status_code == 412
    assert api.patch(engine, "", slots=9).status_code == 428
    assert Engine.objects.get().slots == 8
    event = Event.objects.filter(action="engine:change").latest("id")
    assert event.detail["slots"] == [4, 8]


def test_an_engine_is_drained_and_resumed(api: Api, engine: str) -> None:
    drained = api.post(f"{engine}drain/").json()
    assert (drained["draining"], drained["state"]) == (True, "draining")
    assert api.post(f"{engine}resume/").json()["draining"] is False
    assert actions()[-2:] == ["engine:drain", "engine:resume"]


def test_an_act_on_what_was_removed_meanwhile_finds_nothing(
    api: Api, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Engine.objects.select_related("pool__model").get()
    Engine.objects.get().remove(by="test")
    monkeypatch.setattr(Engines, "row", lambda _self: row)
    assert api.post(f"{engine}drain/").status_code == 404


def test_a_breaker_is_shown_and_kept_open(
    api: Api, engine: str, operator: User, valkey: Redis
) -> None:
    load_once()
    try:
        assert api.get(f"{engine}breaker/").json()["state"] == "closed"
        kept = api.post(f"{engine}breaker/", state="open").json()
        assert (kept["engine"], kept["state"], kept["forced"]) == ("gpu-1", "open", True)
        assert api.post(f"{engine}breaker/", state="ajar").status_code == 400
        automatic = api.post(f"{engine}breaker/", state="automatic").json()
        assert (automatic["state"], automatic["forced"]) == ("closed", False)
        assert [each["state"] for each in automatic["history"]] == ["automatic", "forced open"]
        assert {each["by"] for each in automatic["history"]} == {operator.actor}
        assert actions()[-2:] == ["engine:breaker", "engine:breaker"]
    finally:
        valkey.delete(*breakers.keys("gpu-1"))
        engines.forget()


def test_a_removed_engine_leaves_no_breaker_behind(
    api: Api, engine: str, valkey: Redis, django_capture_on_commit_callbacks: Any
) -> None:
    states, history, _ = breakers.keys("gpu-1")
    words = breakers.arguments("gpu-1", "force", "olga", "open")
    valkey.register_script(breakers.REPORT.text)(keys=breakers.keys("gpu-1"), args=words)
    assert valkey.hexists(states, "gpu-1")
    with django_capture_on_commit_callbacks(execute=True):
        pool = api.get("pools/").json()["results"][0]["id"]
        assert api.delete(f"pools/{pool}/").status_code == 204
    assert not valkey.hexists(states, "gpu-1")
    assert not valkey.exists(history)


def test_deepseek_is_hosted_whatever_was_said(api: Api, pool: str) -> None:
    said = {**NEW, "kind": "deepseek", "url": "https://api.deepseek.com", "hosted": False}
    assert api.post("engines/", **said).json()["hosted"] is True


def test_of_two_who_change_one_model_the_second_is_told(api: Api, pool: str) -> None:
    """Both have read its pools; one reorders them, the other one would undo that."""
    second = api.post("pools/", name="there", model="large").json()
    url = f"pools/{second['id']}/"
    read_by_both = api.get(url).headers["ETag"]
    assert api.patch(url, read_by_both, position=0).status_code == 200
    assert api.patch(url, read_by_both, position=5).status_code == 412
    assert Pool.objects.get(name="there").position == 0


def test_what_is_removed_takes_what_is_below_it_along(api: Api, engine: str) -> None:
    assert api.delete(engine).status_code == 204
    assert api.post("engines/", **NEW).status_code == 201
    pool = api.get("pools/").json()["results"][0]["id"]
    assert api.delete(f"pools/{pool}/").status_code == 204
    assert not Engine.objects.exists()
    model = api.get("models/").json()["results"][0]["id"]
    assert api.delete(f"models/{model}/").status_code == 204
    assert actions()[-1] == "model:remove"


def test_pools_are_tried_in_the_order_of_their_positions(api: Api, pool: str) -> None:
    second = api.post("pools/", name="there", model="large").json()
    assert second["position"] == 1
    here = Pool.objects.get(name="here")
    assert api.patch(f"pools/{here.id}/", position=2).status_code == 200
    assert api.get("models/").json()["results"][0]["pools"] == ["there", "here"]


def test_what_is_from_the_file_is_read_only(api: Api) -> None:
    import_file({"small": {"kind": "openai", "url": URL}})
    for kind in ("engines", "pools", "models"):
        (found,) = api.get(f"{kind}/").json()["results"]
        assert found["from_file"]
        refused = api.delete(f"{kind}/{found['id']}/")
        assert (refused.status_code, refused.json()["type"][-9:]) == (409, "from_file")
        assert "FOREBAY_ENGINES" in refused.json()["detail"]
    engine = f"engines/{Engine.objects.get().pk}/"
    assert api.patch(engine, slots=2).status_code == 409
    assert api.post(f"{engine}drain/").status_code == 409
    assert api.patch(f"pools/{Pool.objects.get().pk}/", position=2).status_code == 409


def test_a_secret_in_an_address_is_neither_shown_nor_recorded(api: Api, engine: str) -> None:
    address = f"{URL}?key=pa55word"
    changed = api.patch(engine, url=address, api_key="sk-hidden")
    assert (changed.status_code, changed.json()["url"]) == (200, URL)
    assert api.patch(engine, url=URL, slots=5).status_code == 200  # as it was shown
    assert Engine.objects.get().url == address
    assert "pa55word" not in api.get(engine).content.decode()
    assert "pa55word" not in str(list(Event.objects.values_list("detail", flat=True)))


def test_an_engine_may_join_a_pool_of_the_file(api: Api) -> None:
    import_file({"small": {"kind": "openai", "url": URL}})
    assert api.post("engines/", **{**NEW, "pool": "small"}).status_code == 201


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "parrot"),
        ("url", "ftp://gpu-1/v1"),
        ("url", "gpu-1:8000"),
        ("url", "https://me:secret@gpu-1/v1"),
        ("slots", 0),
        ("slots", "4"),
        ("slots", "Auto"),
        ("pool", "nowhere"),
        ("name", "two words"),
        ("options", {"solts": 4}),
        ("options", {"context_length": "long"}),
        ("options", {"capabilities": {"magic": True}}),
        ("options", {"context_length": -1}),
        ("options", {"context_length": 0}),
        ("options", {"context_length": True}),
        ("options", {"context_length": 10**12}),
        ("options", {"template_tokens": -1}),
        ("options", {"created": -1}),
        ("options", {"silence_s": 0}),
        ("options", {"model": ""}),
        ("options", {"model": "a\r\nb"}),
        ("options", {"from_file": True}),
        ("url", "http://gpu-1/v1\r\nX-Injected: 1"),
        ("url", "http://gpu-1\n.evil.example/v1"),
        ("url", "http://gpu-1/a b"),
        ("url", "http://gpu-1:0/v1"),
        ("url", "http://gpu-1:65536/v1"),
        ("url", "http://gpu%2D1/v1"),
        ("url", "http://gpu-1\\@evil/v1"),
        ("url", "http://ｇpu-1/v1"),
        ("url", "http://gpu..1/v1"),
        ("url", f"http://{'g' * 64}.example/v1"),
        ("url", "http://.gpu/v1"),
        ("url", "http://8.8.8.8/v1"),
        ("url", "http://[2001:db8::1]/v1"),
        ("url", "http://169.254.169.254/latest"),
        ("url", "http://[::ffff:169.254.169.254]/latest"),
        ("url", "http://2852039166/latest"),
        ("url", "http://0.0.0.0:8000/v1"),
        ("api_key", "sk-1\r\nHost: evil"),
        ("api_key", "sk-1\x7f"),
        ("api_key", "sk-ü"),
    ],
)
def test_a_fault_is_told_with_its_field(api: Api, pool: str, field: str, value: Any) -> None:
    refused = api.post("engines/", **{**NEW, field: value})
    assert (refused.status_code, list(errors(refused))) == (400, [field])
    assert not Engine.objects.exists()


def test_a_hosted_engine_may_be_outside_but_no_metadata_service(api: Api, pool: str) -> None:
    there = {**NEW, "hosted": True}
    assert api.post("engines/", **{**there, "url": "http://8.8.8.8/v1"}).status_code == 201
    metadata = {**there, "name": "gpu-2", "url": "http://169.254.169.254/latest"}
    assert list(errors(api.post("engines/", **metadata))) == ["url"]


def test_an_engine_outside_does_not_cease_to_be_hosted(api: Api, pool: str) -> None:
    """Nor comes in as a new version of one of ours."""
    made = api.post("engines/", **{**NEW, "hosted": True, "url": "http://8.8.8.8/v1"}).json()
    refused = api.patch(f"engines/{made['id']}/", hosted=False)
    assert (refused.status_code, list(errors(refused))) == (400, ["url"])
    ours = api.post("engines/", **{**NEW, "name": "gpu-2"}).json()
    refused = api.post(f"engines/{ours['id']}/replace/", url="http://8.8.8.8/v1")
    assert (refused.status_code, list(errors(refused))) == (400, ["url"])
    refused = api.patch(f"engines/{ours['id']}/", url="http://8.8.8.8/v1")
    assert (refused.status_code, list(errors(refused))) == (400, ["url"])


def test_the_networks_of_the_installation_are_configured(
    api: Api, pool: str, settings: Any
) -> None:
    settings.INTERNAL_NETWORKS = (ip_network("203.0.113.0/24"),)
    assert api.post("engines/", **{**NEW, "url": "http://203.0.113.7/v1"}).status_code == 201
    refused = api.post("engines/", **{**NEW, "name": "gpu-2", "url": "http://10.0.0.1/v1"})
    assert list(errors(refused)) == ["url"]


def test_an_encrypted_key_cannot_be_copied_into_an_engine_of_ones_own(
    api: Api, engine: str
) -> None:
    """Whether it is one of the same pool, or of the configuration, of before it had a host too."""
    stored = Engine.objects.get().api_key
    for copied in (stored, "sealed:" + stored.rpartition(":")[2], "sealed:"):
        thief = {**NEW, "name": "thief", "url": "http://10.6.6.6/v1"}
        refused = api.post("engines/", **thief, api_key=copied)
        assert (refused.status_code, list(errors(refused))) == (400, ["api_key"])
        refused = api.patch(engine, url=thief["url"], api_key=copied)
        assert (refused.status_code, list(errors(refused))) == (400, ["api_key"])
        refused = api.post(f"{engine}replace/", url=thief["url"], api_key=copied)
        assert (refused.status_code, list(errors(refused))) == (400, ["api_key"])
    assert Engine.objects.get().api_key == stored


def test_a_stored_key_that_is_moved_to_another_address_opens_for_nobody(
    api: Api, engine: str
) -> None:
    """As somebody could do it who writes to the table."""
    Engine.objects.update(url="http://10.6.6.6/v1")
    load_once()
    assert not engines.engines()
    Engine.objects.update(url=URL)
    load_once()
    assert [one.config.api_key for one in engines.engines()] == ["sk-hidden"]
    engines.forget()


def test_an_error_of_a_connection_names_no_port_state(api: Api, engine: str) -> None:
    load_once()
    (found,) = engines.engines()
    assert found.shown_cause("no connection: connection refused") == NO_ANSWER
    engines.forget()


def test_a_name_is_there_once_and_a_pool_serves_one_model(api: Api, engine: str) -> None:
    api.post("models/", name="other")
    for path, body in (
        ("models/", {"name": "large"}),
        ("pools/", {"name": "here", "model": "other"}),
        ("engines/", NEW),
    ):
        refused = api.post(path, **body)
        assert (refused.status_code, refused.json()["type"][-10:]) == (409, "name_taken")
    assert Pool.objects.get().model == Model.objects.get(name="large")


def test_sent_twice_with_one_key_it_is_made_once(api: Api, pool: str) -> None:
    for _ in range(2):
        made = api.post("engines/", {"Idempotency-Key": "one"}, **NEW)
        assert made.status_code == 201
    assert Engine.objects.count() == 1
