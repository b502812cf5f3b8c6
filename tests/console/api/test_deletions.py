"""Deletion requests by program and in person: who asks, who decides, who sees what."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from audit.erasure import certificate, execution
from audit.models import DeletionRequest, Event
from tenants.models import ApiKey, Member, Tenant
from tenants.roles import Profile, Role
from tests.console.api.conftest import API, Api, Enter, errors, issued

ALL = "tenants/acme/deletion-requests/"
pytestmark = pytest.mark.django_db


def test_a_member_asks_for_their_own_data(dave: Member, enter: Enter) -> None:
    answer = enter(dave).post("deletion-requests/", mode="erase", reason="I leave")
    said = answer.json()
    assert answer.status_code == 201
    assert (said["state"], said["subject"]) == ("requested", str(dave.subject_id))
    assert answer.headers["Location"].endswith(f"/deletion-requests/{said['id']}/")
    again = enter(dave).post(ALL, mode="erase")
    assert again.json()["id"] == said["id"]


def test_a_member_asks_for_nobody_else(dave: Member, bob: Member, enter: Enter) -> None:
    answer = enter(dave).post(ALL, mode="erase", member=str(bob.pk))
    assert answer.status_code == 403
    assert not DeletionRequest.objects.exists()


def test_an_administrator_asks_and_decides_in_one(erin: Member, dave: Member, enter: Enter) -> None:
    answer = enter(erin).post(ALL, mode="erase", member=str(dave.pk), removes=True)
    assert (answer.status_code, answer.json()["state"]) == (201, "approved")
    assert answer.json()["requested_by"] == erin.actor


def test_for_a_keys_data(erin: Member, acme: Tenant, enter: Enter) -> None:
    key, _text = issued(acme)
    answer = enter(erin).post(ALL, mode="restrict", key=str(key.pk))
    assert answer.json()["subject"] == str(key.subject_id)
    assert answer.json()["mode"] == "restrict"


def test_a_program_asks_and_a_person_decides(
    acme: Tenant, dave: Member, erin: Member, enter: Enter, with_key: Enter
) -> None:
    program = with_key(acme, ["management:write"])
    answer = program.post("deletion-requests/", mode="erase", member=str(dave.pk))
    assert (answer.status_code, answer.json()["state"]) == (201, "requested")
    pk = answer.json()["id"]
    assert program.get("deletion-requests/").json()["results"][0]["id"] == pk
    assert program.post(f"{ALL}{pk}/approve/").status_code == 403
    assert enter(erin).post(f"{ALL}{pk}/approve/").json()["state"] == "approved"
    assert enter(erin).post(f"{ALL}{pk}/approve/").status_code == 409


@pytest.mark.parametrize("scope", ["inference", "management:read", "audit:read", "batch"])
def test_other_keys_ask_for_nothing(
    acme: Tenant, dave: Member, with_key: Enter, scope: str
) -> None:
    answer = with_key(acme, [scope]).post(ALL, mode="erase", member=str(dave.pk))
    assert answer.status_code == 403


def test_where_duties_are_apart_no_key_asks(acme: Tenant, dave: Member, with_key: Enter) -> None:
    program = with_key(acme, ["management:write"])
    Tenant.objects.filter(pk=acme.pk).update(profile=Profile.MLPS)
    assert program.post(ALL, mode="erase", member=str(dave.pk)).status_code == 403


def test_nor_one_that_depends_on_somebody_who_manages_no_more(
    acme: Tenant, dave: Member, erin: Member, with_key: Enter
) -> None:
    program = with_key(acme, ["management:write"], created_by=erin)
    erin.change_role(Role.DEVELOPER, by="test")
    assert program.post(ALL, mode="erase", member=str(dave.pk)).status_code == 403
    assert not DeletionRequest.objects.exists()
    erin.change_role(Role.ADMIN, by="test")
    assert program.post(ALL, mode="erase", member=str(dave.pk)).status_code == 201


def test_a_key_has_to_say_whose(acme: Tenant, with_key: Enter) -> None:
    answer = with_key(acme, ["management:write"]).post("deletion-requests/", mode="erase")
    assert answer.status_code == 400
    assert "member" in errors(answer)


def test_a_refusal_says_why(dave: Member, erin: Member, enter: Enter) -> None:
    pk = enter(dave).post(ALL, mode="erase").json()["id"]
    assert enter(erin).post(f"{ALL}{pk}/refuse/").status_code == 400
    answer = enter(erin).post(f"{ALL}{pk}/refuse/", answer="A contract still runs.")
    assert answer.json()["state"] == "refused"
    assert enter(dave).get(f"{ALL}{pk}/").json()["answer"] == "A contract still runs."


def test_what_is_somebody_elses_does_not_exist(
    dave: Member, bob: Member, charlie: Member, erin: Member, enter: Enter
) -> None:
    pk = enter(dave).post(ALL, mode="erase").json()["id"]
    assert enter(bob).get(f"{ALL}{pk}/").status_code == 404
    assert enter(bob).get(ALL).json()["results"] == []
    assert enter(charlie).get(f"deletion-requests/{pk}/").status_code == 404
    assert enter(charlie).get(f"{ALL}{pk}/").status_code == 404
    assert enter(charlie).post(f"tenants/globex/deletion-requests/{pk}/approve/").status_code == 404
    answer = enter(charlie).post("deletion-requests/", mode="erase", member=str(dave.pk))
    assert answer.status_code == 404
    assert [row["id"] for row in enter(erin).get(ALL).json()["results"]] == [pk]


def test_of_who_has_left_by_their_pseudonym(
    dave: Member, erin: Member, charlie: Member, enter: Enter
) -> None:
    subject = str(dave.subject_id)
    dave.remove(by=erin.actor)
    answer = enter(erin).post(ALL, mode="erase", subject=subject)
    assert (answer.status_code, answer.json()["subject"]) == (201, subject)
    refused = enter(erin).post(ALL, mode="erase", subject=subject, removes=True)
    assert set(errors(refused)) == {"removes"}
    theirs = enter(charlie).post("tenants/globex/deletion-requests/", mode="erase", subject=subject)
    assert theirs.status_code == 404


def test_a_pseudonym_of_somebody_here_is_theirs(
    alice: Member, erin: Member, dave: Member, bob: Member, enter: Enter
) -> None:
    """So that rules on who decides about whom hold this way too."""
    answer = enter(erin).post(ALL, mode="erase", subject=str(alice.subject_id))
    assert (answer.status_code, answer.json()["state"]) == (201, "requested")
    answer = enter(dave).post(ALL, mode="erase", subject=str(bob.subject_id))
    assert answer.status_code == 403
    answer = enter(erin).post(ALL, mode="erase", subject=str(bob.subject_id), member=str(bob.pk))
    assert set(errors(answer)) == {"member"}


def test_an_administrator_erases_no_owner_through_a_key(
    alice: Member, erin: Member, acme: Tenant, enter: Enter, with_key: Enter
) -> None:
    program = with_key(acme, ["management:write"])
    pk = program.post(ALL, mode="erase", member=str(alice.pk)).json()["id"]
    for act in ("approve", "refuse"):
        answer = enter(erin).post(
            f"{ALL}{pk}/{act}/", **({"answer": "no"} if act[0] == "r" else {})
        )
        assert answer.status_code == 403, act
    assert enter(alice).post(f"{ALL}{pk}/approve/").json()["state"] == "approved"


def test_a_key_does_not_ask_for_itself_as_a_person_does(
    acme: Tenant, with_key: Enter, settings: Any
) -> None:
    settings.DELETION_SILENCE_H = 0
    program = with_key(acme, ["management:write"])
    key = ApiKey.objects.get()
    program.post("deletion-requests/", mode="erase", key=str(key.pk), removes=True)
    execution.work()
    assert DeletionRequest.objects.get().state == "requested"


def test_the_last_owner_does_not_remove_themselves(alice: Member, enter: Enter) -> None:
    answer = enter(alice).post(ALL, mode="erase", removes=True)
    assert (answer.status_code, set(errors(answer))) == (400, {"removes"})


def test_who_is_in_several_tenants_says_which(dave: Member, globex: Tenant, enter: Enter) -> None:
    globex.add_member(dave.user, Role.MEMBER, by="test")
    assert enter(dave).post("deletion-requests/", mode="erase").status_code == 400
    assert enter(dave).post(ALL, mode="erase").status_code == 201


def test_sent_twice_with_one_key_it_is_asked_once(dave: Member, enter: Enter) -> None:
    once = {"Idempotency-Key": "abc"}
    first, second = (enter(dave).post(ALL, once, mode="erase") for _ in range(2))
    assert first.json() == second.json()
    assert second.headers["Idempotency-Replayed"] == "true"
    assert Event.objects.filter(action="deletion:request").count() == 1


def test_a_wrong_key_is_refused_as_everywhere() -> None:
    answer = Api(Client(), "sk-fb-nothing").post("deletion-requests/", mode="erase")
    assert answer.status_code == 401


def test_done_it_has_steps_and_a_certificate(
    dave: Member, erin: Member, enter: Enter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "QUIET", timedelta(0))
    pk = enter(erin).post(ALL, mode="erase", member=str(dave.pk)).json()["id"]
    execution.work()
    said: dict[str, Any] = enter(erin).get(f"{ALL}{pk}/").json()
    assert said["state"] == "done"
    assert all(step["finished_at"] for step in said["steps"])
    assert certificate.verifies(said["certificate"])
    assert str(dave.pk) not in json.dumps(said)
    assert not ApiKey.objects.filter(subject_id=dave.subject_id).exists()


def test_an_unknown_person_asks_for_nothing() -> None:
    assert Client().post(f"{API}deletion-requests/").status_code == 401
