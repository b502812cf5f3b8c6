"""What an operator does to a breaker, by the command that the console's functions stand behind."""

import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from redis import Redis

from audit.models import Event
from inference import engines
from inference.engines.health import breakers
from inference.models import Engine, Model, Pool
from inference.registry.importing import import_file

pytestmark = pytest.mark.django_db
NAME = "override-test"
ENTRY: dict[str, Any] = {"kind": "openai", "url": "http://127.0.0.1:9/v1"}


@pytest.fixture(autouse=True)
def _one_engine(db: None, valkey: Redis) -> Iterator[None]:
    import_file({NAME: ENTRY})
    yield
    valkey.delete(*breakers.keys(NAME))
    engines.forget()


def breaker(*words: str) -> dict[str, Any]:
    out = StringIO()
    call_command("breaker", *words, "--json", stdout=out)
    (found,) = json.loads(out.getvalue())["breakers"]
    return dict(found)


def test_it_is_set_shown_and_on_record() -> None:
    assert (breaker()["state"], breaker()["history"]) == ("closed", [])
    found = breaker(NAME, "open")
    assert (found["state"], found["forced"]) == ("open", True)
    assert breaker()["state"] == "open", "it stays"
    found = breaker(NAME, "automatic")
    assert (found["state"], found["forced"]) == ("closed", False)
    told = [(each["state"], each["by"]) for each in found["history"]]
    assert told == [("automatic", "command:breaker"), ("forced open", "command:breaker")]
    details = [
        event.detail for event in Event.objects.filter(action="engine:breaker").order_by("pk")
    ]
    assert [detail["state"] for detail in details] == ["open", "automatic"]
    assert {detail["engine"] for detail in details} == {NAME}


def test_an_open_one_says_why_and_when_it_is_asked_again(valkey: Redis) -> None:
    script = valkey.register_script(breakers.REPORT.text)
    for _ in range(breakers.FAILURES):
        words = breakers.arguments(NAME, "failed", "t", "it answered 500")
        script(keys=breakers.keys(NAME), args=words)
    found = breaker(NAME)
    assert (found["state"], found["forced"], found["failures"]) == ("open", False, 5)
    assert 29 < found["due_in_s"] <= 30
    assert found["history"][0]["reason"] == "it answered 500"
    out = StringIO()
    call_command("breaker", stdout=out)
    assert "open: it answered 500" in out.getvalue()


def test_an_engine_that_does_not_exist_is_named() -> None:
    with pytest.raises(CommandError, match="no engine named nobody"):
        breaker("nobody", "open")
    assert not Event.objects.filter(action="engine:breaker")


def test_engines_that_are_not_in_the_file_have_breakers_too(valkey: Redis) -> None:
    late = f"{NAME}-late"
    Engine.add(Pool.add(Model.add(late, by="test"), late, by="test"), late, by="test", **ENTRY)
    try:
        assert breaker(late, "open")["state"] == "open"
    finally:
        valkey.delete(*breakers.keys(late))
