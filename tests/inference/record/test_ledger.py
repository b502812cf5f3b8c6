"""Received and settled: each one statement, each written once, whoever comes first."""

import base64
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Any
from uuid import uuid4

import msgspec
import orjson
import psycopg
import pytest
from django.utils import timezone

from audit import merkle
from audit.keys import signing
from audit.keys.keyring import Cipher, keyring
from audit.models import Event, Payload
from audit.proof import receipts
from audit.trail.canonical import LINE
from audit.trail.commit_queue import Row
from inference.engines.base import EngineConfig
from inference.engines.kinds.openai import OpenAIEngine
from inference.models import Author, Completion, Conversation, Message, State, Usage
from inference.order import Order, unpacked
from inference.record import request_rows, sql_statements
from inference.record.outcome import Outcome
from tenants.models import ApiKey, LedgerEntry, Member, Tenant
from tenants.quotas.charge import Charge
from tests.inference.orders import an_order
from tests.people import join


@pytest.fixture
def database(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def key(acme: Tenant) -> ApiKey:
    return ApiKey.issue(acme, "ci", by="test")[0]


@pytest.fixture
def order(acme: Tenant, key: ApiKey) -> Order:
    return an_order(tenant_id=acme.id, subject_id=key.subject_id, actor=key.actor)


def cipher_of(order: Order) -> Cipher:
    return keyring.of_subject_now(order.tenant_id, order.subject_id)


def run(database: psycopg.Connection[Any], statement: str, *rows: Row) -> None:
    database.execute(statement, [orjson.dumps(rows).decode()])


def received(order: Order, key: ApiKey | None = None) -> Row:
    order = msgspec.structs.replace(order, charge=Charge(api_key_id=key.id if key else None))
    return request_rows.received_row(order, request_rows.encrypted_order(order, cipher_of(order)))


def settled(order: Order, **outcome: Any) -> Row:
    return request_rows.settled_row(order, Outcome(**outcome), cipher_of(order), time.time())


ANSWER: dict[str, Any] = {
    "prompt_tokens": 12,
    "completion_tokens": 34,
    "cached_tokens": 5,
    "queue_ms": 7,
    "ttft_ms": 80,
    "text": "Hello",
    "response": b'{"choices":[]}',
    "attempts": 2,
}


def test_a_received_request_is_on_record(
    database: psycopg.Connection[Any], order: Order, key: ApiKey
) -> None:
    run(database, sql_statements.RECEIVED, received(order, key))
    completion = Completion.objects.get()
    assert (completion.id, completion.tenant_id, completion.api_key_id) == (
        order.id,
        order.tenant_id,
        key.id,
    )
    assert (completion.state, completion.stream, completion.route) == (
        State.OPEN,
        True,
        order.route,
    )
    event = Event.objects.get(request_id=order.id)
    assert (event.action, event.actor, event.subject_id) == (
        "completion:received",
        order.actor,
        order.subject_id,
    )
    assert event.client_net == "198.51.100.0"  # the host is nobody's business
    assert abs(event.at.timestamp() - order.created_at) < 0.001
    assert not Usage.objects.exists()


def test_received_again_it_is_on_record_once(
    database: psycopg.Connection[Any], order: Order, key: ApiKey
) -> None:
    """A group is sent again where nobody can tell whether it was committed."""
    row = received(order, key)
    run(database, sql_statements.RECEIVED, row)
    run(database, sql_statements.RECEIVED, row)
    assert Completion.objects.count() == LedgerEntry.objects.count() == 1
    assert Event.objects.filter(request_id=order.id).count() == Payload.objects.count() == 1


def test_the_request_can_be_opened_from_the_record(
    database: psycopg.Connection[Any], order: Order
) -> None:
    run(database, sql_statements.RECEIVED, received(order))
    payload = Payload.objects.get(request_id=order.id)
    assert order.body not in bytes(payload.ciphertext)
    place = request_rows.request_aad(order.tenant_id.bytes, order.id.bytes)
    opened = keyring.by_id_now(payload.data_key_id).decrypt(bytes(payload.ciphertext), place)
    assert unpacked(opened) == order


@pytest.mark.parametrize(
    ("aside", "beyond"),
    [
        (Charge(prompt_tokens=12, completion_tokens=34), False),
        (Charge(prompt_tokens=0, completion_tokens=46), False),  # one may be set aside for both
        (Charge(), False),  # nothing was, in an order from before
        (Charge(prompt_tokens=11, completion_tokens=34), True),
        (Charge(prompt_tokens=46, completion_tokens=0, completion_price=2), True),
    ],
)
def test_an_answer_that_takes_more_than_was_set_aside_is_an_alert(
    database: psycopg.Connection[Any],
    order: Order,
    aside: Charge,
    beyond: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run(database, sql_statements.RECEIVED, received(order))
    row = settled(msgspec.structs.replace(order, charge=aside), **ANSWER)
    run(database, sql_statements.SETTLED, row)
    run(database, sql_statements.SETTLED, row)  # counted once
    assert ("ALERT quota:overrun" in caplog.text) is beyond
    alerts = list(Event.objects.filter(action="quota:overrun"))
    assert len(alerts) == beyond
    for event in alerts:
        assert (event.tenant_id, event.request_id, event.success) == (
            order.tenant_id,
            order.id,
            False,
        )
        assert event.detail["tokens"] == 46
        assert event.detail["tokens_set_aside"] == aside.tokens


def test_a_settled_request_is_on_record(database: psycopg.Connection[Any], order: Order) -> None:
    run(database, sql_statements.RECEIVED, received(order))
    run(database, sql_statements.SETTLED, settled(order, **ANSWER))
    completion = Completion.objects.get()
    assert completion.state == State.DONE
    assert completion.settled_at
    usage = Usage.objects.get()
    assert (usage.completion_id, usage.tenant_id, usage.model) == (
        order.id,
        order.tenant_id,
        "mock",
    )
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (12, 34, 5)
    assert (usage.finish_reason, usage.error_code, usage.attempts) == ("stop", "", 2)
    assert (usage.queue_ms, usage.ttft_ms) == (7, 80)
    assert usage.duration_ms >= 0
    events = list(Event.objects.filter(request_id=order.id).order_by("id"))
    assert [event.action for event in events] == ["completion:received", "completion:completed"]
    done = events[1]
    assert (done.success, done.status, done.response_length) == (True, 200, 5)
    assert (done.tokens_in, done.tokens_out) == (12, 34)
    payload = Payload.objects.get(request_id=order.id, field="response")
    place = request_rows.aad(order, "response")
    opened = keyring.by_id_now(payload.data_key_id).decrypt(bytes(payload.ciphertext), place)
    assert opened == b'{"choices":[]}'


def test_texts_cannot_be_exchanged_on_the_record(
    database: psycopg.Connection[Any], order: Order
) -> None:
    run(database, sql_statements.RECEIVED, received(order))
    run(database, sql_statements.SETTLED, settled(order, **ANSWER))
    request, response = Payload.objects.order_by("field")
    from audit.keys.keyring import Unreadable

    for payload, field in ((request, "response"), (response, "request")):
        with pytest.raises(Unreadable):
            cipher_of(order).decrypt(bytes(payload.ciphertext), request_rows.aad(order, field))


def test_a_failure_is_no_success(database: psycopg.Connection[Any], order: Order) -> None:
    run(database, sql_statements.RECEIVED, received(order))
    failed = settled(
        order, state="failed", status=502, finish_reason="error", error_code="engine_failed"
    )
    run(database, sql_statements.SETTLED, failed)
    done = Event.objects.get(action="completion:completed")
    assert (done.success, done.status, done.error_code) == (False, 502, "engine_failed")
    usage = Usage.objects.get()
    assert (usage.finish_reason, usage.prompt_tokens, usage.completion_tokens) == ("error", 0, 0)
    assert Completion.objects.get().state == State.FAILED
    assert not Payload.objects.filter(field="response").exists()  # nothing was answered


def count() -> tuple[int, int, int, int]:
    return (
        Completion.objects.count(),
        Event.objects.filter(request_id__isnull=False).count(),
        Payload.objects.count(),
        Usage.objects.count(),
    )


def test_the_second_of_two_settlements_writes_nothing(
    database: psycopg.Connection[Any], order: Order
) -> None:
    for _ in range(2):
        run(database, sql_statements.RECEIVED, received(order))
    run(database, sql_statements.SETTLED, settled(order, **ANSWER))
    late = settled(order, state="failed", status=500, error_code="worker_lost", text="Other")
    run(database, sql_statements.SETTLED, late)
    assert count() == (1, 2, 2, 1)
    assert Completion.objects.get().state == State.DONE
    assert Usage.objects.get().completion_tokens == 34
    assert Event.objects.get(action="completion:completed").success


FAILED: dict[str, Any] = {"state": "failed", "status": 502, "error_code": "worker_lost"}


@pytest.mark.parametrize("answered_first", [True, False])
def test_of_two_settlements_in_one_group_the_first_is_on_record(
    database: psycopg.Connection[Any], acme: Tenant, order: Order, answered_first: bool
) -> None:
    """As when a runner was cut off, and got its own request back before it could settle it."""
    others = [an_order(tenant_id=acme.id, subject_id=order.subject_id) for _ in range(20)]
    run(database, sql_statements.RECEIVED, *map(received, [order, *others]))
    rows = [settled(order, **ANSWER), settled(order, response=b"half", text="Other", **FAILED)]
    first, second = rows if answered_first else rows[::-1]
    between = [settled(each) for each in others]
    run(database, sql_statements.SETTLED, first, *between[:10], second, *between[10:])
    of_it = Event.objects.filter(request_id=order.id, action="completion:completed")
    (usage,) = Usage.objects.filter(completion_id=order.id)
    (payload,) = Payload.objects.filter(request_id=order.id, field="response")
    assert [event.error_code for event in of_it] == [first["error_code"]] == [usage.error_code]
    assert payload.ciphertext == base64.b64decode(first["response"])
    assert Completion.objects.get(id=order.id).state == first["state"]
    ended = LedgerEntry.objects.exclude(kind="reserve").get(request_id=order.id)
    assert ended.kind == ("settle" if answered_first else "release")
    assert ended.tokens == usage.prompt_tokens + usage.completion_tokens
    assert Usage.objects.count() == 21


def test_settled_at_once_from_several_connections_it_is_one(dsn: str, order: Order) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        run(connection, sql_statements.RECEIVED, received(order))
    rows = [settled(order, attempts=n, completion_tokens=n, response=b"%d" % n) for n in range(6)]
    together, problems = threading.Barrier(len(rows)), list[BaseException]()

    def settle(row: Row) -> None:
        try:
            with psycopg.connect(dsn, autocommit=True) as connection:
                together.wait(10)
                run(connection, sql_statements.SETTLED, row)
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=settle, args=(row,)) for row in rows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert problems == []
    assert count() == (1, 2, 2, 1)
    winner = Usage.objects.get().completion_tokens
    assert Event.objects.get(action="completion:completed").tokens_out == winner
    payload = Payload.objects.get(field="response")
    opened = cipher_of(order).decrypt(
        bytes(payload.ciphertext), request_rows.aad(order, "response")
    )
    assert opened == b"%d" % winner


def test_many_rows_in_one_statement(
    database: psycopg.Connection[Any], acme: Tenant, key: ApiKey
) -> None:
    orders = [an_order(tenant_id=acme.id, subject_id=key.subject_id) for _ in range(50)]
    run(database, sql_statements.RECEIVED, *[received(order, key) for order in orders])
    run(database, sql_statements.SETTLED, *[settled(order, **ANSWER) for order in orders])
    assert count() == (50, 100, 100, 50)
    run(database, sql_statements.SETTLED, *[settled(order, **ANSWER) for order in orders])
    assert count() == (50, 100, 100, 50)


@pytest.fixture
def alice(acme: Tenant) -> Member:
    return join(acme, "alice@acme.example")


def an_answer_to_come(order: Order, alice: Member) -> Message:
    conversation = Conversation.objects.create(
        tenant=alice.tenant,
        member=alice,
        model="mock",
        data_key_id=cipher_of(order).key_id,
        title_ciphertext=b"",
    )
    return Message.objects.create(
        tenant=alice.tenant,
        conversation=conversation,
        author=Author.ASSISTANT,
        completion_id=order.id,
        data_key_id=cipher_of(order).key_id,
        created_at=timezone.now(),
    )


def test_a_chats_answer_arrives_with_its_settlement(
    database: psycopg.Connection[Any], acme: Tenant, alice: Member
) -> None:
    order = an_order(tenant_id=acme.id, subject_id=alice.subject_id, keeps_text=True, reply_to="")
    message = an_answer_to_come(order, alice)
    run(database, sql_statements.RECEIVED, received(order))
    run(database, sql_statements.SETTLED, settled(order, **ANSWER))
    run(database, sql_statements.SETTLED, settled(order, text="Something else"))
    message.refresh_from_db()
    assert message.finish_reason == "stop"
    assert message.ciphertext
    opened = cipher_of(order).decrypt(bytes(message.ciphertext), request_rows.message_aad(order))
    assert opened == b"Hello"


def test_only_a_chats_text_is_sealed_as_a_message(order: Order) -> None:
    assert settled(order, **ANSWER)["message"] is None
    chat = an_order(tenant_id=order.tenant_id, subject_id=order.subject_id, keeps_text=True)
    assert settled(chat, text="Hello")["message"]
    assert settled(chat)["message"]  # an empty answer is an answer: nobody waits for more


def test_a_request_nobody_received_cannot_be_settled(
    database: psycopg.Connection[Any], order: Order
) -> None:
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        run(database, sql_statements.SETTLED, settled(order, **ANSWER))
    assert not Event.objects.filter(request_id=order.id).exists()


def test_the_cost_of_an_answer() -> None:
    assert Outcome(prompt_tokens=10, completion_tokens=5).work_units == 20


@pytest.mark.unit
def test_an_order_travels_whole() -> None:
    from inference.order import Item, packed

    order = an_order(id=uuid4())
    assert unpacked(packed(order)) == order
    assert Item.parse(str(order.item).encode()) == order.item


def test_a_receipt_names_what_was_recorded(
    database: psycopg.Connection[Any], order: Order, key: ApiKey
) -> None:
    order = msgspec.structs.replace(order, charge=Charge(api_key_id=key.id))
    row = request_rows.received_row(order, request_rows.encrypted_order(order, cipher_of(order)))
    run(database, sql_statements.RECEIVED, row)
    statement = f"select {LINE} from audit_event where request_id = %s"
    (line,) = database.execute(statement, [order.id]).fetchone() or ("",)
    receipt = request_rows.receipt(order, row["payload_sha256"])
    assert (receipt.request_id, receipt.leaf) == (order.id, merkle.leaf(line.encode()))
    assert signing.is_ours(receipt.text, receipt.signature, receipts.PURPOSE)


def test_the_record_names_key_upstream_and_ciphertexts(
    database: psycopg.Connection[Any], order: Order, key: ApiKey
) -> None:
    run(database, sql_statements.RECEIVED, received(order, key))
    order = msgspec.structs.replace(order, charge=Charge(api_key_id=key.id))
    run(database, sql_statements.SETTLED, settled(order, upstream="openai api.example", **ANSWER))
    asked, answered = Event.objects.filter(request_id=order.id).order_by("id")
    assert (asked.upstream, answered.upstream) == ("", "openai api.example")
    assert asked.api_key_id == answered.api_key_id == key.id
    for event, field in ((asked, "request"), (answered, "response")):
        ciphertext = Payload.objects.get(request_id=order.id, field=field).ciphertext
        assert event.payload_sha256
        assert bytes(event.payload_sha256) == sha256(bytes(ciphertext)).digest()


def test_the_record_names_each_engine_with_its_host() -> None:
    url = "https://user:secret@api.example:8443/v1"
    config = EngineConfig(name="m", kind="openai", url=url, model="m", hosted=True)
    assert OpenAIEngine(config).upstream == "openai api.example"
    ours = replace(config, hosted=False, url="http://gpu-1.example:8000/v1")
    assert OpenAIEngine(ours).upstream == "openai/gpu-1.example"
    assert OpenAIEngine(replace(ours, version="v2")).upstream == "openai@v2/gpu-1.example"
    long = OpenAIEngine(replace(ours, url=f"http://gpu-1.{'a' * 200}.evil.example/v1")).upstream
    assert (len(long), long[-13:]) == (120, ".evil.example"), "its end says whose it is"
