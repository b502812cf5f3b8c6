"""Models: what each takes and costs, and the order in which its pools are tried."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from inference import engines
from inference.engines.capabilities import NAMES
from inference.models import Engine, Model, Pool
from inference.registry.importing import import_file
from tenants.models import Member, Price, Tenant, User
from tenants.roles import Role
from tests.console.conftest import SignIn
from tests.console.serving.conftest import BY, MODELS, POOLS, URL, acts, page, sent


@pytest.fixture
def pools(model: Model) -> list[Pool]:
    return [Pool.add(model, name, by=BY) for name in ("first", "second", "third")]


def order(model: Model) -> list[str]:
    return [pool.name for pool in model.pools.all()]


def moved(client: Client, name: str, to: str) -> str:
    return sent(client, f"{POOLS}{Pool.objects.get(name=name).pk}/moving/", to=to)


def test_what_a_model_takes_and_costs(client: Client, settings: Settings, db: None) -> None:
    entry = {"kind": "openai", "url": URL, "context_length": 8192, "slots": 4}
    settings.ENGINES = {"smol": {**entry, "capabilities": {"tools": True, "images": False}}}
    import_file()
    Price.set("smol", "0.5", "0.05", "1.25", by=BY)
    for path in (MODELS, f"{MODELS}live/"):
        found = page(client, path)
        for text in ("smol", "from file", "8,192 tokens", "tools", "images", "1.25"):
            assert text in found, (path, text)
        for code in ("curl", "OpenAI(base_url=", "new OpenAI({"):
            assert code in found
        assert found.count("max_tokens") == 3, "the answer to a try is soon there"


def test_what_a_model_takes_is_said_in_the_readers_language(
    client: Client, settings: Settings, db: None
) -> None:
    capabilities = dict.fromkeys(NAMES, True)
    entry = {"kind": "openai", "url": URL, "slots": 4, "capabilities": capabilities}
    settings.ENGINES = {"smol": entry}
    import_file()
    badges = r'<span class="badge bg-green-lt">([^<]+)</span>'
    english = re.findall(badges, page(client, MODELS))
    client.cookies["django_language"] = "zh-hans"
    chinese = re.findall(badges, page(client, MODELS))
    assert len(english) == len(chinese) == len(NAMES)
    assert not set(english) & set(chinese)


def test_who_may_chat_in_a_tenant_may_try_it(
    client: Client, settings: Settings, operator: User, acme: Tenant
) -> None:
    entry = {"kind": "openai", "url": URL, "slots": 4}
    alone = {"capabilities": {"text": False, "embeddings": True}}
    settings.ENGINES = {"smol": entry, "vectors": entry | alone}
    import_file()
    assert "be a member of a tenant" in page(client, MODELS)
    acme.add_member(operator, Role.MEMBER, by=BY)
    for path in (MODELS, f"{MODELS}live/"):
        found = page(client, path)
        assert "A prompt for smol" in found
        assert "A prompt for vectors" not in found
        assert "A prompt for a model" not in found


def test_what_it_costs_in_a_pool_with_its_own_price(client: Client, pools: list[Pool]) -> None:
    Price.set(pools[0].model.name, "1", "0.5", "2", by=BY)
    assert "completion 7.75" not in page(client, MODELS)
    Price.set(pools[0].model.name, "3", "1.5", "7.75", pool="second", by=BY)
    assert page(client, MODELS).count("completion 7.75") == 1


def test_one_without_an_engine_is_not_served(client: Client, pools: list[Pool]) -> None:
    found = page(client, MODELS)
    assert "not served at present" in found
    assert "new OpenAI" not in found


def test_a_model_is_made_and_removed(client: Client, operator: User) -> None:
    assert "large is there" in sent(client, MODELS, name="large")
    assert "This name is taken." in sent(client, MODELS, name="large")
    assert "no blanks" in sent(client, MODELS, name="two words")
    assert "large is removed" in sent(client, f"{MODELS}{Model.objects.get().pk}/removal/")
    assert not Model.objects.exists()
    assert [actor for actor, _ in acts("model:add") + acts("model:remove")] == [operator.actor] * 2


def test_pools_are_moved_up_and_down(
    client: Client, operator: User, model: Model, pools: list[Pool]
) -> None:
    moved(client, "third", "up")
    assert order(model) == ["first", "third", "second"]
    moved(client, "first", "down")
    assert order(model) == ["third", "first", "second"]
    moved(client, "third", "up")
    assert order(model) == ["third", "first", "second"], "it was the first already"
    assert {actor for actor, _ in acts("pool:change")} == {operator.actor}
    pk = pools[0].pk
    assert client.post(f"{POOLS}{pk}/moving/", {"to": "sideways"}).status_code == 404


def test_pools_at_the_same_place_are_moved_too(
    client: Client, model: Model, pools: list[Pool]
) -> None:
    Pool.objects.update(position=0)
    moved(client, "second", "up")
    assert order(model) == ["second", "first", "third"]


def placed(client: Client, name: str, behind: object) -> str:
    """As dragging it does."""
    return sent(client, f"{POOLS}{Pool.objects.get(name=name).pk}/moving/", behind=behind)


def test_a_pool_is_placed_behind_another(client: Client, model: Model, pools: list[Pool]) -> None:
    placed(client, "first", pools[2].pk)
    assert order(model) == ["second", "third", "first"]
    placed(client, "first", pools[1].pk)
    assert order(model) == ["second", "first", "third"]
    placed(client, "third", "")
    assert order(model) == ["third", "second", "first"]


def test_behind_a_pool_that_is_gone_nothing_is_placed(
    client: Client, model: Model, pools: list[Pool]
) -> None:
    gone = pools[1].pk
    pools[1].remove(by=BY)
    assert "has changed meanwhile" in placed(client, "third", gone)
    other = Pool.add(Model.add("other", by=BY), "other", by=BY)
    assert "has changed meanwhile" in placed(client, "third", other.pk)
    assert "has changed meanwhile" in placed(client, "third", pools[2].pk), "behind itself"
    assert order(model) == ["first", "third"]
    moving = f"{POOLS}{pools[2].pk}/moving/"
    assert client.post(moving, {"behind": "nonsense"}).status_code == 404
    assert client.post(f"{POOLS}{gone}/moving/", {"behind": ""}).status_code == 404


def test_the_order_is_that_in_which_they_are_tried(
    client: Client, model: Model, pools: list[Pool]
) -> None:
    pools[0].change(by=BY, condition="failover")
    Engine.add(pools[1], "far", by=BY, kind="deepseek", url=URL)
    (line,) = client.get(MODELS).context["lines"]
    assert [place.turn for place in line.pools] == [2, 3, 1]
    assert [place.hosted for place in line.pools] == [False, True, False]
    found = page(client, MODELS)
    assert "when no other is available" in found
    assert "first of all" in found


def policy(client: Client, pool: Pool, **form: object) -> str:
    """As the form of its page sends it."""
    path = f"{POOLS}{pool.pk}/"
    shown = {name: field.value() for name, field in _fields(client, path).items()}
    return sent(client, path, **{**shown, **form})


def _fields(client: Client, path: str) -> dict[str, Any]:
    form = client.get(path).context["form"]
    return {name: form[name] for name in form.fields}


def test_a_policy_is_changed(client: Client, operator: User, pools: list[Pool]) -> None:
    limits = '{"realtime": {"waiting": 1000, "wait_s": 60}}'
    form = {"condition": "overflow", "overflow_after_ms": 2500, "limits": limits}
    assert "third is changed" in policy(client, pools[2], **form)
    found = page(client, f"{POOLS}{pools[2].pk}/")
    assert "above 2,500 ms of wait" in found
    assert "1,000 requests waiting, 60 s of wait" in found
    assert "above 2,500 ms of wait" in page(client, MODELS)
    ((by, detail),) = acts("pool:change")
    assert (by, detail["condition"]) == (operator.actor, ["always", "overflow"])


def test_what_a_policy_may_not_say(client: Client, pools: list[Pool]) -> None:
    assert "Overflow needs the wait" in policy(client, pools[0], condition="overflow")
    assert "there is no class &#x27;fast&#x27;" in policy(client, pools[0], limits='{"fast": {}}')
    assert "Enter a JSON object" in policy(client, pools[0], limits="[1]")
    assert "Select a valid choice" in policy(client, pools[0], condition="sometimes")
    assert "changed it meanwhile" in policy(client, pools[0], known="another")
    assert not acts("pool:change")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("limits", '{"fast": {}}', "没有 &#x27;fast&#x27; 这个类别"),
        ("limits", '{"batch": 1}', "batch 可包含 waiting"),
        ("limits", '{"batch": {"waiting": 0}}', "waiting（batch）必须是 1 到 10000000"),
        ("limits", '{"batch": {"wait_s": 0}}', "wait_s（batch）必须大于 0 且不超过 86400"),
        ("limits", '{"batch": {"ageing_s": -1}}', "ageing_s（batch）必须是 0 到 86400"),
        (
            "limits",
            '{"realtime": {"headroom": -1}}',
            "headroom（realtime）必须是 0 到 100000 个槽位",
        ),
        (
            "limits",
            '{"batch": {"share": 0.8}, "finetune": {"share": 0.1}}',
            "所有份额之和不得超过 0.8",
        ),
        ("window", '{"hours": "22-6h"}', "&#x27;6h&#x27; 不是 22:00 这样的时刻"),
        ("window", '{"hours": "08:00-08:00"}', "开始与结束时间相同"),
        ("window", '{"hours": "22:00-23:00", "ramp_minutes": 31}', "渐变时间超过时段的一半"),
        ("window", '{"from": "22:00"}', "不能有 &#x27;from&#x27;"),
        ("window", '{"hours": 22}', "`hours` 必须是"),
        ("window", '{"hours": "", "outside": "2"}', "outside 必须是整数"),
        ("lending", '{"awake": 1}', "return_s 必须是 1 到 600 的整数"),
        ("lending", '{"return_s": 9, "awake": 0}', "awake 必须是不小于 1 的整数"),
        ("lending", '{"return_s": 9, "spare": 2}', "spare 必须是 true、false 或 &quot;auto&quot;"),
        ("lending", '{"return_s": 9, "time_zone": "Moon"}', "&#x27;Moon&#x27; 不是"),
        ("lending", '{"return_s": 9, "until": 1}', "不能有 &#x27;until&#x27;"),
    ],
)
def test_what_is_wrong_stands_beside_its_field_in_the_readers_language(
    client: Client, pools: list[Pool], field: str, value: str, said: str
) -> None:
    client.post("/i18n/setlang/", {"language": "zh-hans", "next": MODELS})
    path = f"{POOLS}{pools[0].pk}/"
    shown = {name: field.value() for name, field in _fields(client, path).items()}
    answer = client.post(path, {**shown, field: value})
    assert list(answer.context["form"].errors) == [field]
    assert said in answer.content.decode()


def test_each_limit_that_is_set_is_told(client: Client, pools: list[Pool]) -> None:
    batch = {"share": 0.1, "share_after_s": 30, "ageing_s": 600}
    realtime = {"headroom": 0, "reserved": 3, "lower_slots": 4, "reserved_vip": 2}
    pools[0].change(by=BY, limits={"realtime": realtime, "batch": batch})
    found = page(client, f"{POOLS}{pools[0].pk}/")
    for told in (
        "realtime: 3 slots kept free, 0 slots kept free while it comes, "
        "4 slots for lower classes while it comes, 2 slots for VIPs alone",
        "batch: share 0.1, share after 30 s without a turn, one class higher each 600 s without a",
    ):
        assert told in found


def test_a_limit_of_one_is_told_in_the_singular(client: Client, pools: list[Pool]) -> None:
    pools[0].change(by=BY, limits={"realtime": {"headroom": 1, "reserved": 1, "waiting": 1}})
    found = page(client, f"{POOLS}{pools[0].pk}/")
    assert "1 request waiting, 1 slot kept free, 1 slot kept free while it comes" in found


@pytest.fixture
def declared(settings: Settings) -> Iterator[Model]:
    there = {name: {"kind": "openai", "url": URL} for name in ("here", "there")}
    settings.ENGINES = {"both": {"pools": there}}
    import_file()
    model = Model.objects.get(name="both")
    Pool.add(model, "third", by=BY)
    yield model
    engines.forget()


def test_what_the_file_orders_stays_in_its_order(client: Client, db: None, declared: Model) -> None:
    moved(client, "third", "up")
    assert order(declared) == ["here", "third", "there"]
    assert "nothing made here can be tried before it" in moved(client, "third", "up")
    assert "is declared in FOREBAY_ENGINES" in moved(client, "there", "up")
    assert "is declared in FOREBAY_ENGINES" in placed(client, "there", "")
    here = Pool.objects.get(name="here")
    policy(client, here, condition="failover")
    here.refresh_from_db()
    assert here.condition == "always"
    assert "Change pool" not in page(client, f"{POOLS}{here.pk}/")
    assert order(declared) == ["here", "third", "there"]
    moved(client, "third", "down")
    assert order(declared) == ["here", "there", "third"]


def test_others_neither_see_nor_do_it(alice: Member, pools: list[Pool], sign_in: SignIn) -> None:
    client = sign_in(alice)
    assert [client.get(path).status_code for path in (MODELS, f"{MODELS}live/")] == [403, 403]
    assert client.post(MODELS, {"name": "mine"}).status_code == 403
    moving = f"{POOLS}{pools[2].pk}/moving/"
    assert client.post(moving, {"to": "up"}).status_code == 403
    assert order(pools[0].model) == ["first", "second", "third"]
    assert client.get(f"{POOLS}{pools[2].pk}/").status_code == 403
    assert Model.objects.count() == 1
