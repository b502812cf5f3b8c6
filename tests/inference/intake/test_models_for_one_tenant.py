"""A model for one tenant alone does not exist for others: in requests, lists and the chat."""

from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import pytest

from inference import engines
from inference.engine_entries import EngineEntry
from inference.intake.access import allowed
from inference.intake.access.allowed import NoSuchModel
from tenants.caller import Caller
from tenants.models import Tenant
from tenants.roles import Role
from tests import people
from tests.inference.callers import CALLER

FIELDS = {"kind": "openai", "url": "http://127.0.0.1:9/v1"}
OURS = replace(CALLER, tenant_id=uuid4())
THEIRS = replace(CALLER, tenant_id=uuid4())


@pytest.fixture(autouse=True)
def served() -> Iterator[None]:
    put(OURS)
    yield
    engines.forget()


def put(owner: Caller) -> None:
    own = EngineEntry("own", "own", "own", FIELDS, only_for=owner.tenant_id)
    engines.put_in_force([own, EngineEntry("open", "open", "open", FIELDS)])


def names(caller: Caller) -> list[str]:
    return [engine.config.name for engine in allowed.engines_for(caller)]


@pytest.mark.unit
def test_its_tenant_uses_it() -> None:
    assert allowed.engine_for(OURS, "own").config.name == "own"
    assert names(OURS) == ["own", "open"]
    assert allowed.first_for(OURS) == "own"


@pytest.mark.unit
def test_for_others_it_is_a_model_that_nobody_serves() -> None:
    for ask in (allowed.engine_for, allowed.listed):
        for model in ("own", "none"):
            with pytest.raises(NoSuchModel, match=model):
                ask(THEIRS, model)
    assert names(THEIRS) == ["open"]
    assert allowed.first_for(THEIRS) == "open"


def test_the_chat_offers_it_to_its_tenant(acme: Tenant, globex: Tenant) -> None:
    put(replace(CALLER, tenant_id=acme.pk))
    alice = people.join(acme, "alice@acme.example", Role.OWNER, "a forebay holds")
    charlie = people.join(globex, "charlie@globex.example", Role.OWNER, "a forebay holds")
    assert allowed.models_for(alice) == ["own", "open"]
    assert allowed.models_for(charlie) == ["open"]
