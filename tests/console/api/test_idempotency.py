"""Idempotency-Key: done once, answered the same, also to two who ask at the same moment."""

import threading
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from audit.models import Event
from tenants.models import ApiKey, IdempotentRequest, Member, Team
from tenants.models.idempotent_request import KEPT
from tenants.roles import Role
from tests.console.api.conftest import PROBLEM, Api, Enter, errors, together

KEYS, TEAMS = "tenants/acme/keys/", "tenants/acme/teams/"
ONE = {"Idempotency-Key": "0b6c2f0e"}


@pytest.fixture
def api(alice: Member, enter: Enter) -> Api:
    return enter(alice)


def test_the_same_request_is_done_once_and_answered_twice(api: Api) -> None:
    first, second = (api.post(KEYS, ONE, name="build") for _ in range(2))
    assert first.status_code == second.status_code == 201
    assert first.json() == second.json()
    assert first.json()["secret"].startswith("sk-fb-")
    for header in ("ETag", "Location", "Content-Type"):
        assert first.headers[header] == second.headers[header]
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    assert ApiKey.objects.count() == 1
    assert Event.objects.filter(action="api_key:create").count() == 1


def test_the_secret_is_not_stored_in_clear(api: Api) -> None:
    secret = api.post(KEYS, ONE, name="build").json()["secret"]
    row = IdempotentRequest.objects.get()
    for part in (secret, secret[6:18], "build"):
        assert part.encode() not in bytes(row.ciphertext)


def test_another_body_under_the_same_key_is_refused(api: Api) -> None:
    api.post(KEYS, ONE, name="build")
    answer = api.post(KEYS, ONE, name="another")
    assert (answer.status_code, answer.headers["Content-Type"]) == (422, PROBLEM)
    assert ApiKey.objects.count() == 1


def test_a_key_holds_for_one_caller_and_one_path(
    api: Api, bob: Member, charlie: Member, enter: Enter
) -> None:
    secrets = {
        api.post(KEYS, ONE, name="build").json()["secret"],
        enter(bob).post(KEYS, ONE, name="build").json()["secret"],
        enter(charlie).post("tenants/globex/keys/", ONE, name="build").json()["secret"],
    }
    assert len(secrets) == 3
    assert api.post(TEAMS, ONE, name="build").status_code == 201


def test_what_was_refused_can_be_tried_again(api: Api, bob: Member, enter: Enter) -> None:
    assert api.post(TEAMS, ONE, name="").status_code == 400
    assert api.post(TEAMS, ONE, name="search").status_code == 201
    assert enter(bob).post(TEAMS, ONE, name="search").status_code == 403
    assert IdempotentRequest.objects.count() == 1


def test_an_answer_is_given_again_for_a_day(api: Api) -> None:
    first = api.post(KEYS, ONE, name="build").json()
    IdempotentRequest.objects.update(created_at=timezone.now() - KEPT)
    second = api.post(KEYS, ONE, name="build").json()
    assert first["id"] != second["id"]
    assert IdempotentRequest.objects.count() == 1


def test_who_has_lost_the_power_gets_no_old_answer(bob: Member, enter: Enter) -> None:
    api = enter(bob)
    assert api.post(KEYS, ONE, name="build").status_code == 201
    bob.change_role(Role.MEMBER, by="test")
    assert api.post(KEYS, ONE, name="build").status_code == 403


@pytest.mark.parametrize("key", ["", "x" * 256, "\u00e9", "a\tb"])
def test_a_key_must_be_printable_and_short(api: Api, key: str) -> None:
    answer = api.post(TEAMS, {"Idempotency-Key": key}, name="search")
    assert (answer.status_code, list(errors(answer))) == (400, ["Idempotency-Key"])


def test_operators_too(operator: Any, enter: Enter) -> None:
    api = enter(operator)
    first, second = (
        api.post("tenants/", ONE, name="new", owner="new@new.example") for _ in range(2)
    )
    assert first.json() == second.json()
    assert first.json()["invitation_link"]


@pytest.mark.django_db(transaction=True)
def test_of_many_at_the_same_moment_one_does_it(alice: Member, enter: Enter) -> None:
    """The others read the answer, or hear that it is being worked on."""
    clients = [enter(alice) for _ in range(8)]
    start = threading.Barrier(len(clients))
    answers: list[Any] = []

    def ask(api: Api) -> None:
        start.wait(10)
        try:
            answers.append(api.post(TEAMS, ONE, name="search"))
        finally:
            connection.close()

    together(ask, clients)
    made = [a for a in answers if a.status_code == 201]
    assert {a.status_code for a in answers} <= {201, 409}
    assert len({a.json()["id"] for a in made}) == 1
    assert sum("Idempotency-Replayed" not in a.headers for a in made) == 1
    assert Team.objects.count() == 1
