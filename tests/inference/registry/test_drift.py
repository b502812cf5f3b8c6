"""Where FOREBAY_ENGINES and the database part: a report that foretells the next import."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from audit.models import Event
from inference.models import Engine, Model, Pool
from inference.registry.drift import Difference, differences
from inference.registry.importing import import_file

pytestmark = pytest.mark.django_db
ONE = {"kind": "openai", "url": "http://gpu-1:8000/v1", "slots": 4, "api_key": "sk-one"}
TWO = {"kind": "vllm", "url": "http://gpu-2:8000/v1", "context_length": 4096}
BOTH: dict[str, Any] = {"small": ONE, "large": {"pools": {"here": TWO, "there": {**ONE}}}}


def over_the_api(name: str, **columns: Any) -> Engine:
    """A model, its pool and an engine of one name."""
    model = Model.objects.create(name=name, position=90)
    pool = Pool.objects.create(name=name, model=model, position=90)
    given = {"kind": "openai", "url": "http://gpu-9:8000/v1", "slots": 2, **columns}
    engine: Engine = Engine.objects.create(name=name, pool=pool, position=90, **given)
    return engine


def test_after_an_import_they_agree() -> None:
    import_file(BOTH)
    assert differences(BOTH) == []


def test_each_difference_is_named_and_an_import_ends_those_it_foretells() -> None:
    import_file(BOTH)
    over_the_api("mine")
    file: dict[str, Any] = {
        "small": {**ONE, "slots": 8, "api_key": "sk-two"},
        "large": {"pools": {"here": {**TWO, "context_length": 8192}}},
        "new": TWO | {"url": "http://gpu-3:8000/v1"},
    }
    events = Event.objects.count()
    found = differences(file)
    assert set(found) == {
        Difference("model", "new", "missing"),
        Difference("pool", "new", "missing"),
        Difference("engine", "new", "missing"),
        Difference("engine", "small", "differs", ("api_key", "slots")),
        Difference("engine", "here", "differs", ("options",)),
        Difference("engine", "there", "left"),
        Difference("pool", "there", "left"),
        Difference("model", "mine", "api"),
        Difference("pool", "mine", "api"),
        Difference("engine", "mine", "api"),
    }
    assert Event.objects.count() == events, "it changes nothing"
    import_file(file)
    assert {each.name for each in differences(file)} == {"mine"}
    assert not any(each.at_next_start for each in differences(file))


def test_what_the_api_has_below_a_pool_of_the_file_keeps_it() -> None:
    import_file(BOTH)
    pool = Pool.objects.get(name="here")
    Engine.objects.create(name="mine", pool=pool, kind="vllm", url="http://gpu-9:1", position=9)
    states = {(each.kind, each.name): each.state for each in differences({"small": ONE})}
    assert states["engine", "here"] == states["pool", "there"] == "left"
    assert states["pool", "here"] == states["model", "large"] == "api"
    import_file({"small": ONE})
    assert Pool.objects.filter(name="here").exists()
    assert not Pool.objects.filter(name="there").exists()


def test_a_name_of_the_api_that_the_file_uses_too_is_taken_over() -> None:
    over_the_api("small", **ONE)
    (of_engine,) = [each for each in differences({"small": ONE}) if each.kind == "engine"]
    assert (of_engine.state, of_engine.fields[-1]) == ("differs", "from_file")
    import_file({"small": ONE})
    assert differences({"small": ONE}) == []


def test_without_a_file_nothing_changes_at_a_start(settings: Settings) -> None:
    import_file(BOTH)
    settings.ENGINES, settings.ENGINES_DECLARED = {}, False
    assert {each.state for each in differences()} == {"api"}
    settings.ENGINES_DECLARED = True  # FOREBAY_ENGINES={}
    assert {each.name for each in differences() if each.at_next_start} >= {"small", "here", "there"}


def test_the_command_prints_it_and_fails_if_told_to(settings: Settings) -> None:
    import_file(BOTH)
    over_the_api("mine")
    settings.ENGINES = BOTH
    out = StringIO()
    call_command("engines_drift", "--fail", stdout=out)
    assert "engine mine: made over the API" in out.getvalue()
    settings.ENGINES = {"small": ONE}
    out = StringIO()
    with pytest.raises(CommandError, match="a next start would change them"):
        call_command("engines_drift", "--fail", "--json", stdout=out)
    found = json.loads(out.getvalue())["differences"]
    states = {(each["kind"], each["name"]): each["state"] for each in found}
    assert states["engine", "here"] == states["model", "large"] == "left"
    assert states["engine", "mine"] == "api"
    assert "sk-one" not in out.getvalue()
