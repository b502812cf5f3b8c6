"""Actions over the management API: created, changed, tried, rotated, removed; calls settled."""

from typing import Any

import pytest
from django.db import OperationalError

from console.api.idempotency import IdempotentCall
from inference.models import WebhookAction
from tenants.models import Member, Tenant
from tests.console.api.conftest import Api, Enter, errors
from tests.console.inbox.rows import a_call
from tests.inference.actions.conftest import ANSWER, ARGUMENTS, new_action, service
from tests.inference.actions.webhook_server import Service

__all__ = ["service"]
LIST = "tenants/acme/actions/"
FIELDS = {
    "name": "order_state",
    "url": "https://shop.example.com/",
    "arguments": ARGUMENTS,
    "answer": ANSWER,
}


@pytest.fixture
def api(acme: Tenant, with_key: Enter) -> Api:
    return with_key(acme, ["management:read", "management:write"])


@pytest.mark.django_db
def test_it_is_created_changed_rotated_and_removed(api: Api, acme: Tenant) -> None:
    created = api.post(LIST, **FIELDS)
    assert created.status_code == 201, created.content
    assert created.json()["secret"].startswith("whsec_")
    path = created.headers["Location"]
    shown = api.get(path)
    assert "secret" not in shown.json()
    changed = api.patch(path, shown.headers["ETag"], timeout_s=5, enabled=False)
    assert (changed.json()["timeout_s"], changed.json()["revision"]) == (5, 2)
    rotated = api.post(f"{path}rotate/", overlap_hours=1)
    assert rotated.json()["secret"] != created.json()["secret"]
    assert rotated.json()["former_until"]
    assert [row["name"] for row in api.get(LIST).json()["results"]] == ["order_state"]
    assert api.delete(path, api.get(path).headers["ETag"]).status_code == 204
    assert not WebhookAction.objects.exists()


@pytest.mark.django_db
def test_what_is_wrong_is_said_beside_its_field(api: Api, acme: Tenant) -> None:
    answer = api.post(LIST, **{**FIELDS, "url": "https://10.0.0.1/"})
    assert answer.status_code == 400
    assert list(errors(answer)) == ["url"]
    assert api.post(LIST, **FIELDS).status_code == 201
    assert api.post(LIST, **FIELDS).status_code == 409


@pytest.mark.django_db
def test_a_person_settles_a_call(acme: Tenant, alice: Member, enter: Enter) -> None:
    call, api = a_call(acme), enter(alice)
    path = f"{LIST}calls/{call.pk}/"
    assert api.get(path).json()["state"] == "unknown"
    assert api.post(f"{path}settle/", settled_as="not_done").json()["settled_as"] == "not_done"
    assert api.post(f"{path}settle/", settled_as="done").status_code == 400


@pytest.mark.django_db(transaction=True)
def test_a_test_sends_one_request(api: Api, acme: Tenant, service: Service) -> None:
    path = api.post(LIST, **{**FIELDS, "url": service.url}).headers["Location"]
    outcome = api.post(f"{path}test/", arguments={"order": "A-1"}).json()
    assert (outcome["state"], outcome["answer"]["state"]) == ("succeeded", "sent")
    assert len(service.delivered) == 1
    refused = api.post(f"{path}test/", arguments={"order": "?"}).json()
    assert (refused["state"], refused["reason"]) == ("not_sent", "arguments")


@pytest.mark.django_db(transaction=True)
def test_a_test_whose_answer_is_lost_is_sent_once(
    api: Api, acme: Tenant, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_arguments: Any) -> None:
        raise OperationalError

    path = api.post(LIST, **{**FIELDS, "url": service.url}).headers["Location"] + "test/"
    once = {"Idempotency-Key": "7f3a"}
    with monkeypatch.context() as patch:
        patch.setattr(IdempotentCall, "remember", lost)
        assert api.post(path, once, arguments={"order": "A-1"}).status_code >= 500
    for _ in range(2):
        outcome = api.post(path, once, arguments={"order": "A-1"}).json()
        assert (outcome["state"], outcome["answer"]["state"]) == ("succeeded", "sent")
    assert len(service.delivered) == 1
    api.post(path, {"Idempotency-Key": "7f3b"}, arguments={"order": "A-1"})
    assert len(service.delivered) == 2


@pytest.mark.django_db
def test_another_person_approves_a_change(
    acme: Tenant, alice: Member, bob: Member, enter: Enter
) -> None:
    action, _secret = new_action(acme, "https://shop.example.com/")
    action.propose({"url": "https://shop.example.com/v2/"}, by=bob.actor)
    path, api = f"{LIST}{action.pk}/", enter(alice)
    shown = api.get(path).json()
    assert shown["proposal"] == {"url": "https://shop.example.com/v2/"}
    assert shown["proposed_by"] == bob.actor
    approved = api.post(f"{path}approve_change/", proposed_at=shown["proposed_at"])
    assert (approved.status_code, approved.json()["url"]) == (200, "https://shop.example.com/v2/")
    assert api.post(f"{path}withdraw_change/").status_code == 400
