"""Models: what each takes and costs, and the order in which its pools are tried."""

from collections.abc import Iterator

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from inference import engines
from inference.models import Model, Pool
from inference.registry.importing import import_file
from tenants.models import Member, Price, User
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
        for code in ("curl", 'OpenAI(base_url="', "new OpenAI({"):
            assert code in found


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
    assert Model.objects.count() == 1
