"""Whom a decision is about: under whose key its texts are, and what follows a restriction."""

from typing import Any

import httpx
import pytest
from channels.db import database_sync_to_async

from audit.keys import keyring as keys
from audit.keys.keyring import keyring
from inference.api.decision_flow.people import People
from inference.models import Completion, Decision, DecisionPolicy
from inference.personal_data import decisions
from tenants.models import Person, Tenant
from tenants.scope import tenant_scope
from tests.inference.api.decisions.asking import PATH, decide, decided

in_database = database_sync_to_async


async def test_of_a_restricted_person_nothing_is_decided(
    policy: DecisionPolicy, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise keys.Barred("restricted")

    monkeypatch.setattr(keys, "refuse_if_barred", refuse)
    answer = await decide(client, person="restricted-1")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (409, "restricted", "person")
    assert not await in_database(Decision.objects.exists)()
    assert not await in_database(Completion.objects.exists)()


async def test_an_erasure_takes_the_person_and_the_texts_and_leaves_figures(
    policy: DecisionPolicy, client: httpx.AsyncClient, acme: Tenant
) -> None:
    decision = await decided(client, key="tx-1")

    def erase() -> Decision:
        person = Decision.objects.get().person_id
        assert person
        assert decisions.remaining(acme.pk, person) == 1
        assert decisions.erase(acme.pk, person)["decisions"] == 1
        assert decisions.remaining(acme.pk, person) == 0
        return Decision.objects.get()

    row = await in_database(erase)()
    assert row.score == decision["score"]
    shown = (await client.get(f"{PATH}/{decision['id']}")).json()
    assert (shown["input"], shown["outcome"]) == (None, "review")
    assert "reasons" not in shown


async def test_a_known_person_costs_no_query(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    people = People()
    first = await people.of(acme.pk, "customer-9")

    def known() -> Person | None:
        with tenant_scope(acme.pk):
            return Person.objects.known(acme.pk, "customer-9")

    person = await in_database(known)()
    assert person
    assert first.id == person.pk

    async def fails(*_: Any) -> Any:
        raise AssertionError("asked again")

    monkeypatch.setattr(people, "_read", fails)
    assert await people.of(acme.pk, "customer-9") == first
    keyring.forget(first.cipher.key_id)  # as after an erasure
    with pytest.raises(AssertionError):
        await people.of(acme.pk, "customer-9")
