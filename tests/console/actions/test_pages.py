"""Actions on their pages: created, changed, tried, their secret replaced, removed."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client

from inference.models import ActionCall, CallState, WebhookAction
from tenants.models import Member, Tenant
from tests.console.conftest import SignIn
from tests.console.inbox.rows import a_call
from tests.inference.actions.conftest import ANSWER, ARGUMENTS, new_action, service
from tests.inference.actions.webhook_server import Service

__all__ = ["service"]
ACTIONS = "/console/t/acme/actions/"
FIELDS = {
    "name": "order_state",
    "url": "https://shop.example.com/",
    "arguments": json.dumps(ARGUMENTS),
    "answer": json.dumps(ANSWER),
    "timeout_s": "5",
    "description_en": "Looks up an order",
    "on_success_en": "Order {{order}}: {{state}}.",
}


@pytest.fixture
def client(bob: Member, sign_in: SignIn) -> Client:
    return sign_in(bob)


@pytest.mark.django_db
def test_it_is_created_and_its_secret_shown_once(client: Client, acme: Tenant) -> None:
    answer = client.post(f"{ACTIONS}addition/", FIELDS)
    action = WebhookAction.objects.get()
    assert "whsec_" in answer.content.decode()
    assert (action.description, action.on_success) == (
        {"en": "Looks up an order"},
        {"en": "Order {{order}}: {{state}}."},
    )
    page = client.get(f"{ACTIONS}{action.pk}/").content.decode()
    assert "Looks up an order" in page
    assert "whsec_" not in page
    assert "order_state" in client.get(ACTIONS).content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("url", "http://shop.example.com/", "must begin with https://"),
        ("arguments", "{", "This is not JSON."),
        ("arguments", "[]", "This must be a JSON object."),
        ("arguments", '{"a": NaN}', "This is not JSON."),
        ("arguments", '{"a": 1e400}', "This is not JSON."),
        ("arguments", '{"a": "\\ud800"}', "This is not JSON."),
        ("arguments", '{"a": ' + "[" * 300 + "]" * 300 + "}", "This is not JSON."),
        ("arguments", '{"type": "object", "title": "\\u0000"}', "holds a NUL character"),
        ("answer", '{"type": "array"}', "must be an object"),
        ("on_success_en", "{{nothing}}", "have a field nothing"),
        ("name", "Order State", "lower-case"),
    ],
)
def test_what_is_wrong_is_said(
    client: Client, acme: Tenant, field: str, value: str, problem: str
) -> None:
    answer = client.post(f"{ACTIONS}addition/", {**FIELDS, field: value})
    assert problem in answer.content.decode()
    assert not WebhookAction.objects.exists()


@pytest.mark.django_db
def test_it_is_changed_rotated_and_removed(client: Client, acme: Tenant) -> None:
    action, secret = new_action(acme, "https://shop.example.com/")
    path = f"{ACTIONS}{action.pk}/"
    assert client.post(f"{path}edition/", {**FIELDS, "timeout_s": "7"}).status_code == 302
    action.refresh_from_db()
    assert (action.timeout_s, action.enabled, action.revision) == (7, False, 2)
    shown = client.post(f"{path}rotation/", {"overlap_hours": "24"}).content.decode()
    assert "whsec_" in shown
    assert secret not in shown
    assert client.post(f"{path}removal/").status_code == 302
    assert not WebhookAction.objects.exists()


@pytest.mark.django_db
def test_calls_are_listed_without_texts(client: Client, acme: Tenant) -> None:
    a_call(acme)
    a_call(acme, CallState.SUCCEEDED)
    page = client.get(f"{ACTIONS}calls/?state=unknown").content.decode()
    assert "Outcome unknown" in page
    assert "A-1" not in page


@pytest.mark.django_db(transaction=True)
def test_a_test_sends_one_marked_request(
    client: Client, acme: Tenant, bob: Member, service: Service
) -> None:
    action, _secret = new_action(acme, service.url)
    path = f"{ACTIONS}{action.pk}/trial/"
    shown = client.post(path, {"trial-arguments": '{"order": "A-1"}'}).content.decode()
    assert "Order A-1: sent." in shown
    [body] = service.bodies
    assert (body["test"], body["dialogue"]) == (True, None)
    call = ActionCall.objects.get()
    assert (call.state, call.subject_id) == (CallState.SUCCEEDED, bob.subject_id)


@pytest.mark.django_db(transaction=True)
def test_a_test_that_moves_money_needs_a_yes(
    client: Client, acme: Tenant, service: Service
) -> None:
    action, _secret = new_action(acme, service.url, moves_money=True)
    path, fields = f"{ACTIONS}{action.pk}/trial/", {"trial-arguments": '{"order": "A-1"}'}
    assert "not_confirmed" in client.post(path, fields).content.decode()
    assert not service.delivered
    client.post(path, {**fields, "trial-confirmed": "on"})
    assert len(service.delivered) == 1


@pytest.mark.django_db(transaction=True)
def test_a_page_that_is_sent_again_tries_once(
    client: Client, acme: Tenant, service: Service
) -> None:
    action, _secret = new_action(acme, service.url, moves_money=True)
    page, path = f"{ACTIONS}{action.pk}/", f"{ACTIONS}{action.pk}/trial/"
    once = r'name="trial-once" value="([0-9a-f-]{36})"'
    (name,) = re.findall(once, client.get(page).content.decode())
    fields = {"trial-arguments": '{"order": "A-1"}', "trial-confirmed": "on", "trial-once": name}
    shown = [client.post(path, fields).content.decode() for _ in range(2)]
    assert all("Order A-1: sent." in text for text in shown)
    assert len(service.delivered) == 1
    (another,) = re.findall(once, shown[0])
    client.post(path, fields | {"trial-once": another})
    assert len(service.delivered) == 2


@pytest.mark.django_db(transaction=True)
def test_two_presses_at_once_send_once(client: Client, acme: Tenant, service: Service) -> None:
    action, _secret = new_action(acme, service.url)
    path = f"{ACTIONS}{action.pk}/trial/"
    fields = {"trial-arguments": '{"order": "A-1"}', "trial-once": str(uuid4())}
    other = copy(client)

    def press(browser: Client) -> str:
        try:
            return browser.post(path, fields).content.decode()
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        shown = list(pool.map(press, (client, other)))
    assert all("Order A-1: sent." in text for text in shown)
    assert len(service.delivered) == 1


@pytest.mark.django_db(transaction=True)
def test_a_test_of_a_service_that_is_away_says_so(client: Client, acme: Tenant) -> None:
    action, _secret = new_action(acme, "https://shop.invalid/")
    path = f"{ACTIONS}{action.pk}/trial/"
    shown: Any = client.post(path, {"trial-arguments": '{"order": "A-1"}'}).content.decode()
    assert "unreachable" in shown


@pytest.mark.django_db
def test_a_change_that_waits_is_shown_and_approved_by_another_person(
    client: Client, acme: Tenant, alice: Member, bob: Member, sign_in: SignIn
) -> None:
    action, _secret = new_action(acme, "https://shop.example.com/")
    action.propose({"url": "https://shop.example.com/v2/"}, by=bob.actor)
    page = client.get(f"{ACTIONS}{action.pk}/").content.decode()
    assert "https://shop.example.com/v2/" in page
    assert "Approve the change" not in page  # he proposed it
    assert action.proposed_at
    own = {"proposed_at": action.proposed_at.isoformat()}
    other = sign_in(alice)
    assert own["proposed_at"] in other.get(f"{ACTIONS}{action.pk}/").content.decode()
    other.post(f"{ACTIONS}{action.pk}/approval/", {"proposed_at": "2026-01-01T00:00:00+00:00"})
    action.refresh_from_db()
    assert action.url == "https://shop.example.com/"
    other.post(f"{ACTIONS}{action.pk}/approval/", own)
    action.refresh_from_db()
    assert (action.url, action.proposal) == ("https://shop.example.com/v2/", None)
    action.propose({"url": "https://elsewhere.example.com/"}, by=bob.actor)
    other.post(f"{ACTIONS}{action.pk}/withdrawal/")
    action.refresh_from_db()
    assert action.proposal is None
