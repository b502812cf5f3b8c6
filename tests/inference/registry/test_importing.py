"""FOREBAY_ENGINES comes into PostgreSQL: idempotent, in a race too, and what leaves it goes."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from pytest_django.fixtures import Settings

from audit.keys import configuration_secrets
from audit.keys.cipher import Unreadable
from audit.models import Event
from inference.models import Engine, FromFile, Model, Pool
from inference.models.served import LONGEST_NAME
from inference.registry.importing import import_file

SECRET = "sk-of-a-hosted-service"  # noqa: S105
ONE = {"kind": "openai", "url": "http://gpu-1:8000/v1", "slots": 4}
TWO = {"kind": "vllm", "url": "http://gpu-2:8000/v1", "context_length": 4096}
BOTH: dict[str, Any] = {"small": ONE, "large": {"pools": {"here": TWO, "there": {**ONE}}}}
BY = "test"


def engines() -> dict[str, tuple[str, str]]:
    return {e.name: (e.pool.name, e.pool.model.name) for e in Engine.objects.all()}


@pytest.mark.django_db
def test_models_pools_and_engines_are_those_of_the_file() -> None:
    import_file(BOTH)
    assert engines() == {
        "small": ("small", "small"),
        "here": ("here", "large"),
        "there": ("there", "large"),
    }
    here = Engine.objects.get(name="here")
    assert (here.kind, here.url, here.slots) == ("vllm", TWO["url"], 16)
    assert here.options == {"context_length": 4096}
    assert all(row.from_file for kind in (Model, Pool, Engine) for row in kind.objects.all())


@pytest.mark.django_db
def test_a_pool_takes_requests_as_the_file_says() -> None:
    limits = {"batch": {"waiting": 9}}
    there = {"condition": "overflow", "overflow_after_ms": 2000, "limits": limits}
    pools: dict[str, Any] = {"here": {}, "there": {**there, "engines": [{}, {}]}}
    file = {"large": {**TWO, "pools": pools}}
    import_file(file)
    assert Pool.objects.get(name="here").condition == "always"
    found = Pool.objects.get(name="there")
    assert {name: getattr(found, name) for name in there} == there
    before = Event.objects.count()
    import_file(file)
    assert Event.objects.count() == before
    pools["there"] = {"condition": "failover", "engines": [{}, {}]}
    import_file(file)
    found.refresh_from_db()
    assert (found.condition, found.limits) == ("failover", {})


@pytest.mark.django_db
def test_the_same_file_again_writes_nothing() -> None:
    file = {"small": {**ONE, "api_key": SECRET}}
    import_file(file)
    before, events = list(Engine.objects.values()), Event.objects.count()
    import_file(file)
    assert (list(Engine.objects.values()), Event.objects.count()) == (before, events)


@pytest.mark.django_db
@pytest.mark.parametrize(("launch", "events"), [({"launch": {"model": "x.gguf"}}, 0), ({}, 1)])
def test_another_port_of_a_server_that_we_start_is_nobodys_act(
    launch: dict[str, Any], events: int
) -> None:
    entry = {"kind": "llama_cpp", "slots": 4, **launch}
    import_file({"small": {**entry, "url": "http://127.0.0.1:20001"}})
    before = Event.objects.count()
    import_file({"small": {**entry, "url": "http://127.0.0.1:20002"}})
    assert Engine.objects.get().url == "http://127.0.0.1:20002"
    assert Event.objects.count() - before == events


@pytest.mark.django_db(transaction=True)
def test_processes_that_start_at_once_import_it_once() -> None:
    def start(_number: int) -> None:
        try:
            import_file(BOTH)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as processes:
        list(processes.map(start, range(8)))
    assert len(engines()) == 3
    assert Event.objects.filter(action="engine:add").count() == 3


@pytest.mark.django_db
def test_a_secret_is_stored_sealed_and_is_not_in_the_trail() -> None:
    import_file({"small": {**ONE, "api_key": SECRET}})
    engine = Engine.objects.get()
    assert SECRET not in engine.api_key
    assert configuration_secrets.decrypt_secret(engine.api_key, "small", engine.url) == SECRET
    assert SECRET not in str(list(Event.objects.values_list("detail", flat=True)))
    import_file({"small": {**ONE, "api_key": SECRET + "2"}})
    changed = Engine.objects.get().api_key
    assert SECRET not in changed
    assert configuration_secrets.decrypt_secret(changed, "small", engine.url) == SECRET + "2"


@pytest.mark.django_db
def test_an_engine_that_changes_its_address_keeps_its_secret_for_the_new_one() -> None:
    import_file({"small": {**ONE, "api_key": SECRET}})
    import_file({"small": {**ONE, "api_key": SECRET, "url": "http://127.0.0.1:7/v1"}})
    engine = Engine.objects.get()
    assert (
        configuration_secrets.decrypt_secret(engine.api_key, "small", "http://127.0.0.1:7/v1")
        == SECRET
    )
    with pytest.raises(Unreadable):
        configuration_secrets.decrypt_secret(engine.api_key, "small", str(ONE["url"]))


@pytest.mark.django_db
def test_an_engine_that_changes_its_pool_keeps_its_secret() -> None:
    entry = {**ONE, "api_key": SECRET}
    import_file({"large": {"pools": {"here.1": entry}}})
    import_file({"large": {"pools": {"here": {**entry, "engines": [{}]}}}})
    engine = Engine.objects.get()
    assert (engine.name, engine.pool.name) == ("here.1", "here")
    assert SECRET not in engine.api_key
    assert configuration_secrets.decrypt_secret(engine.api_key, "here", engine.url) == SECRET


@pytest.mark.django_db
def test_what_has_left_the_file_is_removed() -> None:
    import_file(BOTH)
    import_file({"small": ONE})
    assert list(Model.objects.values_list("name", flat=True)) == ["small"]
    assert engines() == {"small": ("small", "small")}
    gone = Event.objects.filter(action="pool:remove").values_list("detail__name", flat=True)
    assert set(gone) == {"here", "there"}


@pytest.mark.django_db
def test_a_process_without_a_file_takes_nothing_away(settings: Settings) -> None:
    import_file({"small": ONE})
    settings.ENGINES, settings.ENGINES_DECLARED = {}, False
    import_file()
    assert engines() == {"small": ("small", "small")}
    settings.ENGINES_DECLARED = True  # as {}
    import_file()
    assert engines() == {}


@pytest.mark.django_db
def test_what_was_made_over_the_api_stays_when_the_file_goes() -> None:
    import_file(BOTH)
    here = Pool.objects.get(name="here")
    Engine.add(here, "third", by=BY, kind="openai", url=ONE["url"])
    import_file({"small": ONE})
    assert engines() == {"small": ("small", "small"), "third": ("here", "large")}
    assert not Pool.objects.get(name="here").from_file
    assert not Model.objects.get(name="large").from_file


@pytest.mark.django_db
def test_the_file_takes_over_a_name_that_it_uses() -> None:
    pool = Pool.add(Model.add("small", by=BY), "small", by=BY)
    Engine.add(pool, "small", by=BY, kind="vllm", url="http://other:1/v1").drain(by=BY)
    import_file({"small": ONE})
    engine = Engine.objects.get()
    assert (engine.from_file, engine.kind, engine.draining) == (True, "openai", False)


@pytest.mark.django_db
@pytest.mark.parametrize("engine", ["theirs", "private"])
def test_a_pool_with_engines_of_the_api_gets_no_other_model(engine: str) -> None:
    """They would answer the requests for the file's model, with the weights of theirs."""
    pool = Pool.add(Model.add("private", by=BY, only_for=uuid4()), "private", by=BY)
    Engine.add(pool, engine, by=BY, kind="openai", url="http://gpu-9:8000/v1")
    file = {"small": {"pools": {"private": ONE}}}
    if engine == "private":  # the file names it: then it has the file's address, too
        import_file(file)
        assert engines() == {"private": ("private", "small")}
        return
    before = Event.objects.count()
    with pytest.raises(ValueError, match="pool 'private' serves 'private' with engines made over"):
        import_file(file)
    assert engines() == {"theirs": ("private", "private")}
    assert Event.objects.count() == before


@pytest.mark.django_db
def test_nobody_else_changes_what_is_from_the_file() -> None:
    import_file({"small": ONE})
    engine = Engine.objects.get()
    for act in (engine.drain, engine.remove, engine.pool.remove, engine.pool.model.remove):
        with pytest.raises(FromFile, match="FOREBAY_ENGINES"):
            act(by=BY)
    with pytest.raises(FromFile):
        engine.change(by=BY, slots=5)
    assert Engine.objects.get().slots == 4


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({**ONE, "kind": "parrot"}, "unknown kind 'parrot'"),
        ({**ONE, "url": "ftp://gpu-1"}, "http:// or https://"),
        ({**ONE, "url": "http://me:secret@gpu-1/v1"}, "goes into api_key"),
        ({**ONE, "slots": 0}, "slots must be 1 to"),
        ({**ONE, "slots": "many"}, r"Expected `int`.*slots"),
        ({**ONE, "solts": 4}, "no key 'solts'"),
        ({**ONE, "capabilities": {"magic": True}}, "unknown capability 'magic'"),
        ({**ONE, "condition": "often"}, "pool 'other': condition: 'often' is none of always"),
        ({**ONE, "condition": "overflow"}, "how many milliseconds"),
        ({**ONE, "overflow_after_ms": "2 s"}, "must be a whole number"),
        ({**ONE, "limits": {"fast": {}}}, "no class 'fast'"),
        ({**ONE, "engines": [{"condition": "failover"}]}, "no key 'condition'"),
    ],
)
def test_a_file_with_a_fault_changes_nothing(entry: dict[str, Any], words: str) -> None:
    import_file({"small": ONE})
    with pytest.raises(ValueError, match=words):
        import_file({"other": entry})
    assert engines() == {"small": ("small", "small")}


@pytest.mark.django_db
def test_a_name_that_is_too_long_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match="a name is 5 characters too long"):
        import_file({"m" * (LONGEST_NAME + 5): ONE})
