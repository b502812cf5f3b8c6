"""People whose data is everywhere, and how to see whether any of it is left."""

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
from django.conf import settings
from django.db import connection
from django.utils import timezone

from audit.keys.keyring import keyring
from audit.models import DataKey, Event, Export, Payload
from inference.chat import conversations
from inference.chat.conversations import message_aad
from inference.models import Author, Completion, Conversation, Message, StoredResponse
from inference.order import Order, Stored, unpacked
from inference.queue.client import client
from inference.record import request_rows, sql_statements
from inference.record.outcome import Outcome
from inference.stream import frames
from tenants.models import ApiKey, IdempotentRequest, Member, Refusal, Tenant, User
from tenants.models.refusal import RefusedBy
from tenants.quotas.charge import Charge
from tenants.roles import Role
from tests.inference.orders import an_order

HOSTED = "openai api.deepseek.example"


@dataclass(frozen=True)
class Subject:
    tenant: Tenant
    id: UUID
    word: str  # planted in every text
    member: Member | None = None
    key: ApiKey | None = None

    @property
    def who(self) -> tuple[UUID, UUID]:
        return self.tenant.id, self.id

    def left(self) -> dict[str, int]:
        """What is still there, by kind; {} when nothing is."""
        mine: dict[str, Any] = {"tenant_id": self.tenant.id, "subject_id": self.id}
        requests = Event.objects.filter(**mine).values("request_id")
        tenant = {"tenant_id": self.tenant.id}
        members = Member.objects.filter(**mine)
        histories = [frames.history(e.bytes) for e in _ids(requests)]
        found = {
            "keys": DataKey.objects.filter(**mine).count(),
            "texts": Payload.objects.filter(request_id__in=requests).count(),
            "conversations": Conversation.objects.filter(member__in=members).count(),
            "responses": StoredResponse.objects.filter(**mine).count(),
            "exports": Export.objects.filter(**mine).count(),
            "files": len(list((settings.FOREBAY_HOME / "exports").glob(f"*{self.word}*"))),
            "open": Completion.objects.open().filter(id__in=requests).count(),
            "streams": client().exists(*histories) if histories else 0,
            "members": members.count(),
            "api keys": ApiKey.objects.filter(**mine).count(),
        }
        if self.member:
            actor = self.member.actor
            found["refusals"] = Refusal.objects.filter(**tenant, actor=actor).count()
            found["answers"] = IdempotentRequest.objects.filter(**tenant, actor=actor).count()
            found["ids"] = Member.objects.filter(pk=self.member.pk).count()
        return {kind: n for kind, n in found.items() if n}


def _ids(requests: Any) -> list[UUID]:
    return [row["request_id"] for row in requests if row["request_id"]]


def a_member(tenant: Tenant, name: str, role: Role = Role.MEMBER, *, texts: int = 2) -> Subject:
    """With a conversation, answers, refusals, an export and events that are kept."""
    user = User.objects.create_user(f"{name}@{tenant.name}.example", name=name.title())
    member: Member = tenant.add_member(user, role, by="test")
    subject = Subject(tenant, member.subject_id, f"canary-{name}-{uuid4().hex}", member)
    for _ in range(texts):
        asked(subject)
    _conversation(subject, member)
    _traces(subject, member.actor)
    return subject


def a_key(tenant: Tenant, name: str = "robot") -> Subject:
    key, _text = ApiKey.issue(tenant, name, by="test")
    subject = Subject(tenant, key.subject_id, f"canary-{name}-{uuid4().hex}", key=key)
    asked(subject)
    return subject


def asked(
    subject: Subject, *, upstream: str = "", over: bool = True, age_s: float = 60, **changes: Any
) -> Order:
    """A request of theirs, on record and stored, with its answer when it is over."""
    actor = (subject.member or subject.key or subject.tenant).actor  # type: ignore[union-attr]
    order = an_order(
        tenant_id=subject.tenant.id,
        subject_id=subject.id,
        actor=actor,
        created_at=time.time() - age_s,
        body=orjson.dumps({"messages": [{"role": "user", "content": subject.word}]}),
        stored=Stored(orjson.dumps([{"content": subject.word}]), b"{}"),
        charge=Charge(
            api_key_id=subject.key.id if subject.key else None,
            member_id=subject.member.id if subject.member else None,
        ),
        **changes,
    )
    cipher = keyring.of_subject_now(*subject.who)
    _write(
        sql_statements.RECEIVED,
        request_rows.received_row(order, request_rows.encrypted_order(order, cipher)),
    )
    if over:
        text = f"an answer to {subject.word}"
        outcome = Outcome(text=text, response=text.encode(), upstream=upstream)
        _write(
            sql_statements.SETTLED, request_rows.settled_row(order, outcome, cipher, time.time())
        )
        _keep_events(order, text)
    return order


def _write(statement: str, row: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, [orjson.dumps([row]).decode()])


def _keep_events(order: Order, text: str) -> None:
    name = frames.history(order.id.bytes)
    client().xadd(name, {"f": text.encode()}, id="1-0")
    client().expire(name, 120)


def _conversation(subject: Subject, member: Member) -> None:
    conversation = conversations.start(member, "mock", subject.word)
    cipher = keyring.of_subject_now(*subject.who)
    for author in Author:
        message = Message(
            id=uuid4(),
            tenant_id=subject.tenant.id,
            conversation=conversation,
            author=author,
            data_key_id=cipher.key_id,
            created_at=timezone.now(),
        )
        message.ciphertext = cipher.encrypt(subject.word.encode(), message_aad(message))
        message.save(force_insert=True)


def _traces(subject: Subject, actor: str) -> None:
    now = timezone.now()
    moments = dict.fromkeys(("minute", "first_at", "last_at", "frees_at"), now)
    Refusal.objects.create(
        tenant=subject.tenant, actor=actor, tier=RefusedBy.RATE, limit=1, used=1, **moments
    )
    cipher = keyring.of_subject_now(subject.tenant.id, None)
    IdempotentRequest.objects.create(
        tenant=subject.tenant,
        actor=actor,
        route="POST /x",
        key=uuid4().hex,
        body=b"",
        data_key_id=cipher.key_id,
        ciphertext=cipher.encrypt(subject.word.encode(), b"x"),
    )
    export = Export.objects.create(
        tenant_id=subject.tenant.id,
        subject_id=subject.id,
        kind="subject",
        state="ready",
        actor=actor,
        expires_at=now + timedelta(days=1),
    )
    folder = settings.FOREBAY_HOME / "exports"
    folder.mkdir(exist_ok=True)
    (folder / f"{export.id}.{subject.word}").write_text("ciphertext")


def untouched(subject: Subject) -> bool:
    """Everything of theirs is there and can be read."""
    left = subject.left()
    cipher = keyring.of_subject_now(*subject.who)
    rows = Payload.objects.filter(
        tenant_id=subject.tenant.id, data_key_id=cipher.key_id, field="request"
    )
    words = [unpacked(cipher.decrypt(bytes(p.ciphertext), _place(p))).body.decode() for p in rows]
    return bool(left["keys"] == 1 and words and all(subject.word in word for word in words))


def _place(payload: Payload) -> bytes:
    return request_rows.request_aad(payload.tenant_id.bytes, payload.request_id.bytes)
