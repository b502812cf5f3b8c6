"""A call is sent once, signed and within bounds; what is not known is never sent again."""

import asyncio
import base64
import hmac
import time
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from audit.keys import keyring as keys
from audit.keys.keyring import Unreadable
from audit.models import Event
from inference.actions import calling
from inference.actions.sending import Delivery, Outcome
from inference.models import ActionCall, CallState, WebhookAction
from inference.models.assistants.action_call import CONFIRMED_FOR
from infrastructure.postgres.request_threads import in_request_thread
from tenants.models import Tenant
from tests.inference.actions.conftest import Dialogue, new_action
from tests.inference.actions.webhook_server import Service

pytestmark = pytest.mark.django_db(transaction=True)
GOOD = {"order": "A-1"}


def in_database(do: Any) -> Any:
    return in_request_thread(do)


@pytest.fixture(autouse=True)
async def connections_close() -> AsyncIterator[None]:
    """A connection with TLS closes some turns of the loop after its session."""
    yield
    await asyncio.sleep(0.2)


@pytest.fixture
async def action(acme: Tenant, service: Service) -> tuple[WebhookAction, str]:
    made: tuple[WebhookAction, str] = await in_database(new_action)(acme, service.url)
    return made


@pytest.fixture
async def refund(acme: Tenant, service: Service) -> WebhookAction:
    make = in_database(new_action)
    made: WebhookAction = (await make(acme, service.url, name="refund", moves_money=True))[0]
    return made


async def rows() -> list[ActionCall]:
    found: list[ActionCall] = await in_database(lambda: list(ActionCall.objects.all()))()
    return found


async def test_a_call_brings_the_answer_and_its_text(
    action: tuple[WebhookAction, str], service: Service, dialogue: Dialogue
) -> None:
    result = await calling.call(dialogue, uuid4(), "order_state", GOOD)
    assert result.succeeded
    assert result.answer == {"order": "A-1", "state": "sent"}
    assert result.text("en") == "Order A-1: sent."
    assert result.text("zh") == "订单 A-1：sent。"
    [body] = service.bodies
    assert body["id"] == str(result.call_id)
    assert (body["arguments"], body["dialogue"]) == (GOOD, str(dialogue.id))
    assert (body["action"], body["test"], body["language"]) == ("order_state", False, "en")
    events = await in_database(
        lambda: list(Event.objects.filter(subject_id=dialogue.subject_id).order_by("id"))
    )()
    assert [event.action for event in events] == ["action:call", "action:end"]
    assert "A-1" not in str([event.detail for event in events])


async def test_its_signature_is_that_of_the_documented_example(
    action: tuple[WebhookAction, str], service: Service, dialogue: Dialogue
) -> None:
    """docs/api/webhooks.md has the same lines, which a test runs."""
    await calling.call(dialogue, uuid4(), "order_state", GOOD)
    [(headers, body)] = service.delivered
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(action[1].removeprefix("whsec_"))
    mac = base64.b64encode(hmac.digest(key, signed, sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{mac}"
    assert abs(time.time() - int(headers["webhook-timestamp"])) < 60


async def test_a_repeated_call_of_a_turn_sends_nothing(
    action: tuple[WebhookAction, str], service: Service, dialogue: Dialogue
) -> None:
    turn = uuid4()
    first = await calling.call(dialogue, turn, "order_state", GOOD)
    again = await asyncio.gather(
        *[calling.call(dialogue, turn, "order_state", GOOD) for _ in range(5)]
    )
    assert set(map(str, again)) == {str(first)}
    assert len(service.delivered) == 1


async def test_calls_of_one_turn_at_once_send_once(
    action: tuple[WebhookAction, str], service: Service, dialogue: Dialogue
) -> None:
    turn = uuid4()
    results = await asyncio.gather(
        *[calling.call(dialogue, turn, "order_state", GOOD) for _ in range(8)]
    )
    assert {result.state for result in results} == {CallState.SUCCEEDED}
    assert len({result.call_id for result in results}) == len(service.delivered) == 1


@pytest.mark.parametrize(
    ("mode", "answer", "state", "reason"),
    [
        ("wait", b"", "unknown", "timeout"),
        ("hang_up", b"", "unknown", "broken_off"),
        (500, b"{}", "unknown", "service_error"),
        (408, b"{}", "unknown", "service_error"),
        (404, b"{}", "failed", "refused"),
        (303, b"", "unknown", "redirect"),
        (200, b"no JSON", "unknown", "wrong_answer"),
        (200, b"[]", "unknown", "wrong_answer"),
        (200, b'{"state": 3}', "unknown", "wrong_answer"),
        (200, b'{"state": "' + b"x" * 70_000 + b'"}', "unknown", "wrong_answer"),
        (204, b"", "unknown", "wrong_answer"),
    ],
)
async def test_what_a_service_does_wrong(
    action: tuple[WebhookAction, str],
    service: Service,
    dialogue: Dialogue,
    mode: int | str,
    answer: bytes,
    state: str,
    reason: str,
) -> None:
    service.mode, service.answer = mode, answer
    service.headers = {"Location": service.url}
    turn = uuid4()
    result = await calling.call(dialogue, turn, "order_state", GOOD)
    assert (str(result.state), result.reason) == (state, reason)
    assert result.needs_person is (state == "unknown")
    again = await calling.call(dialogue, turn, "order_state", GOOD)
    assert again.state == result.state
    assert len(service.delivered) == 1


async def test_a_service_that_is_not_there_was_not_asked(
    action: tuple[WebhookAction, str], dialogue: Dialogue
) -> None:
    await in_database(WebhookAction.objects.update)(url="https://localhost:9/")
    result = await calling.call(dialogue, uuid4(), "order_state", GOOD)
    assert (result.state, result.reason) == (CallState.NOT_SENT, "unreachable")


async def test_a_certificate_of_a_stranger_is_not_trusted(
    action: tuple[WebhookAction, str],
    service: Service,
    dialogue: Dialogue,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FOREBAY_TLS_CA")
    result = await calling.call(dialogue, uuid4(), "order_state", GOOD)
    assert (result.state, result.reason) == (CallState.NOT_SENT, "tls")
    assert not service.delivered


async def test_a_name_that_leads_inside_is_refused_at_the_connection(
    action: tuple[WebhookAction, str], service: Service, dialogue: Dialogue, settings: Settings
) -> None:
    settings.ACTION_HOSTS = []
    result = await calling.call(dialogue, uuid4(), "order_state", GOOD)
    assert (result.state, result.reason) == (CallState.NOT_SENT, "address_refused")
    assert not service.delivered


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"order": "1"}, "arguments"),
        ({}, "arguments"),
        ({"order": "A-1", "more": 1}, "arguments"),
        ({"order": "A-1", "note": "x" * 20_000}, "too_long"),
    ],
)
async def test_arguments_that_do_not_fit_are_not_sent(
    action: tuple[WebhookAction, str],
    service: Service,
    dialogue: Dialogue,
    arguments: dict[str, Any],
    reason: str,
) -> None:
    result = await calling.call(dialogue, uuid4(), "order_state", arguments)
    assert (result.state, result.reason) == (CallState.NOT_SENT, reason)
    assert not service.delivered
    assert [row.state for row in await rows()] == [CallState.NOT_SENT]


async def test_an_unknown_or_disabled_action_is_not_sent(
    action: tuple[WebhookAction, str], service: Service, dialogue: Dialogue
) -> None:
    assert (await calling.call(dialogue, uuid4(), "other", {})).reason == "no_action"
    await in_database(action[0].change)(by="test", enabled=False)
    result = await calling.call(dialogue, uuid4(), "order_state", GOOD)
    assert (result.state, result.reason) == (CallState.NOT_SENT, "no_action")
    assert not service.delivered


async def test_another_tenants_action_does_not_exist(
    action: tuple[WebhookAction, str], service: Service, globex: Tenant
) -> None:
    result = await calling.call(Dialogue(globex.pk), uuid4(), "order_state", GOOD)
    assert result.reason == "no_action"
    assert not service.delivered


async def test_arguments_and_answer_are_encrypted_under_the_persons_key(
    action: tuple[WebhookAction, str], dialogue: Dialogue
) -> None:
    await calling.call(dialogue, uuid4(), "order_state", GOOD)
    [row] = await rows()
    stored = bytes(row.ciphertext) + bytes(row.answer_ciphertext or b"")
    assert b"A-1" not in stored
    assert row.subject_id == dialogue.subject_id
    assert await in_database(lambda: row.arguments)() == GOOD


async def test_an_outcome_is_on_record_though_its_person_was_erased_meanwhile(
    action: tuple[WebhookAction, str], dialogue: Dialogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def erased_meanwhile(_delivery: Delivery) -> Outcome:
        await in_database(keys.destroy)(dialogue.tenant_id, dialogue.subject_id)
        return Outcome(CallState.SUCCEEDED, "", 200, {"state": "sent"})

    monkeypatch.setattr(calling, "send", erased_meanwhile)
    with pytest.raises(Unreadable):
        await calling.call(dialogue, uuid4(), "order_state", GOOD)
    [row] = await rows()
    assert (row.state, row.status, row.answer_ciphertext) == (CallState.SUCCEEDED, 200, None)


# Money -------------------------------------------------------------------------------------------
async def test_money_moves_after_the_persons_yes_alone(
    refund: WebhookAction, service: Service, dialogue: Dialogue
) -> None:
    asking, answering = uuid4(), uuid4()
    refused = await calling.call(dialogue, uuid4(), "refund", GOOD)
    assert (refused.state, refused.reason) == (CallState.NOT_SENT, "not_confirmed")
    assert await calling.propose(dialogue, asking, "refund", GOOD) is None
    assert not await calling.confirm(dialogue, asking, "refund", GOOD), "in the same turn"
    assert not await calling.confirm(dialogue, answering, "refund", {"order": "A-2"})
    assert (await calling.call(dialogue, uuid4(), "refund", GOOD)).reason == "not_confirmed"
    assert await calling.confirm(dialogue, answering, "refund", GOOD)
    assert (await calling.call(dialogue, uuid4(), "refund", {"order": "A-2"})).reason == (
        "not_confirmed"
    )
    assert not service.delivered
    result = await calling.call(dialogue, answering, "refund", GOOD)
    assert result.succeeded
    assert service.bodies[0]["confirmed_at"]
    again = await calling.call(dialogue, uuid4(), "refund", GOOD)
    assert again.reason == "not_confirmed", "a yes is for one call"
    assert len(service.delivered) == 1


async def test_a_yes_that_a_rule_asks_for_is_sent_along_and_used_up(
    action: tuple[WebhookAction, str], service: Service, dialogue: Dialogue
) -> None:
    turn = uuid4()
    await calling.propose(dialogue, uuid4(), "order_state", GOOD)
    assert await calling.confirm(dialogue, turn, "order_state", GOOD)
    await in_database(action[0].change)(by="test", timeout_s=3)
    assert (await calling.call(dialogue, turn, "order_state", GOOD)).succeeded
    [row] = await rows()
    assert (row.state, row.confirmed_in, row.revision) == (CallState.SUCCEEDED, turn, 2)
    [body] = service.bodies
    assert row.confirmed_at
    assert body["confirmed_at"] == row.confirmed_at.isoformat()
    assert body["revision"] == 2


async def test_a_yes_expires_and_can_be_taken_back(
    refund: WebhookAction, service: Service, dialogue: Dialogue
) -> None:
    await calling.propose(dialogue, uuid4(), "refund", GOOD)
    turn = uuid4()
    assert await calling.confirm(dialogue, turn, "refund", GOOD)
    long_ago = timezone.now() - CONFIRMED_FOR
    await in_database(ActionCall.objects.update)(confirmed_at=long_ago)
    assert (await calling.call(dialogue, turn, "refund", GOOD)).reason == "not_confirmed"
    await calling.propose(dialogue, uuid4(), "refund", GOOD)
    await calling.withdraw(dialogue)
    assert not await calling.confirm(dialogue, uuid4(), "refund", GOOD)
    assert not service.delivered


async def test_a_yes_of_another_dialogue_counts_for_nothing(
    refund: WebhookAction, service: Service, dialogue: Dialogue
) -> None:
    await calling.propose(dialogue, uuid4(), "refund", GOOD)
    await calling.confirm(dialogue, uuid4(), "refund", GOOD)
    other = Dialogue(dialogue.tenant_id)
    assert (await calling.call(other, uuid4(), "refund", GOOD)).reason == "not_confirmed"
    assert not service.delivered


async def test_a_person_settles_what_is_unknown(
    action: tuple[WebhookAction, str], service: Service, dialogue: Dialogue
) -> None:
    service.mode = "hang_up"
    await calling.call(dialogue, uuid4(), "order_state", GOOD)
    unknown = await in_database(lambda: list(ActionCall.objects.to_settle()))()
    [row] = unknown
    await in_database(row.settle)("done", by="member:x")
    assert not await in_database(ActionCall.objects.to_settle().exists)()
    assert (row.settled_as, row.state) == ("done", CallState.UNKNOWN)
    with pytest.raises(Exception, match="nothing to settle"):
        await in_database(row.settle)("not_done", by="member:x")


async def test_a_leaving_caller_does_not_stop_the_call(
    action: tuple[WebhookAction, str], service: Service, dialogue: Dialogue
) -> None:
    service.mode = "wait"
    task = asyncio.create_task(calling.call(dialogue, uuid4(), "order_state", GOOD))
    async with asyncio.timeout(20):
        while not service.delivered:
            await asyncio.sleep(0.02)
        task.cancel()
        while (await rows())[0].state == CallState.SENT:
            await asyncio.sleep(0.05)
    assert (await rows())[0].reason == "timeout"
