"""A small trail that came under seal, and a superuser's connection to damage it with."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch
from uuid import UUID

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from psycopg.conninfo import make_conninfo
from psycopg.types.json import Jsonb

from audit.actions import Action
from audit.keys.keyring import keyring, wrap
from audit.models import Checkpoint, DataKey
from audit.proof import seal
from audit.proof.seal import seal_round
from audit.verification.verify import VerificationReport, verify
from audit.witnesses.delivery import record_of

ACME, GLOBEX = UUID(int=0xAC), UUID(int=0x6B)
TENANTS = (ACME, GLOBEX, None)
PAYLOADS = {Action.COMPLETION_RECEIVED: "request", Action.COMPLETION_COMPLETED: "response"}
_EVENT = """
    insert into audit_event (at, action, tenant_id, request_id, actor, subject_id, api_key_id,
        client_net, route, model, upstream, success, status, error_code, response_length,
        processing_ms, tokens_in, tokens_out, payload_sha256, detail)
    values (%(at)s, %(action)s, %(tenant_id)s, %(request_id)s, %(actor)s, %(subject_id)s,
        %(api_key_id)s, %(client_net)s, %(route)s, %(model)s, %(upstream)s, true, 200, '', 11, 22,
        33, 44, %(payload_sha256)s, %(detail)s) returning id"""
_PAYLOAD = """
    insert into audit_payload (at, tenant_id, request_id, field, data_key_id, ciphertext)
    values (%(at)s, %(tenant_id)s, %(request_id)s, %(field)s, %(key)s, %(ciphertext)s)"""
_KEY = """
    insert into audit_datakey (id, tenant_id, subject_id, version, wrapped_by, wrapped, created_at)
    values (%(key)s, %(tenant_id)s, %(subject_id)s, 1, %(wrapped_by)s, %(wrapped)s, now())"""


@contextmanager
def superuser() -> Iterator[psycopg.Connection[Any]]:
    """No trigger stops it. What it does is seen by nobody else, unless it commits."""
    secret = Path(os.environ["FOREBAY_HOME"]) / "secrets" / "postgres.password"
    if not secret.exists():
        pytest.skip("needs the embedded PostgreSQL's superuser")
    name, password = connection.settings_dict["NAME"], secret.read_text().strip()
    dsn = make_conninfo(settings.DATABASE_URL, dbname=name, user="postgres", password=password)
    with psycopg.connect(dsn, **settings.SEES_ALL) as own:
        own.execute("set session_replication_role = replica")
        own.commit()
        yield own


class Trail:
    """Rounds of events of two tenants and of the platform, each with its seals."""

    def __init__(self, root: psycopg.Connection[Any], seed: int = 1) -> None:
        self.root, self.random = root, Random(seed)
        self.witnessed: list[bytes] = []
        self._at = datetime.now(UTC) - timedelta(minutes=30)

    def grow(self, rounds: int = 4, events: int = 15) -> None:
        for _ in range(rounds):
            for _ in range(events):
                self.write()
            self.seal()

    def grow_at(self, at: datetime, rounds: int = 2, events: int = 15) -> None:
        """As if that were now."""
        before, self._at = self._at, at
        with clock_of_the_sealer(at + timedelta(minutes=5)):
            self.grow(rounds, events)
        self._at = before

    def seal(self) -> None:
        self.root.commit()
        assert seal_round()
        self.witnessed = [record_of(checkpoint) for checkpoint in _checkpoints(self.root)]
        self.root.commit()

    def write(self, **facts: Any) -> int:
        event = {**self._facts(), **facts}
        if field := PAYLOADS.get(event["action"]):
            ciphertext = self.random.randbytes(60)
            event |= {"field": field, "ciphertext": ciphertext, **self._key(event)}
            event["payload_sha256"] = sha256(ciphertext).digest()
            self.root.execute(_KEY, event)
            self.root.execute(_PAYLOAD, event)
        found = self.root.execute(_EVENT, event).fetchone()
        assert found
        return int(found[0])

    def _key(self, event: dict[str, Any]) -> dict[str, Any]:
        """One of the subject's, under the tenant's."""
        given = {"tenant_id": event["tenant_id"], "subject_id": event["subject_id"]}
        row = DataKey(id=self._uuid(), **given)
        wrap(row, self.random.randbytes(32), keyring.of_subject_now(event["tenant_id"], None))
        return {"key": row.id, "wrapped_by": row.wrapped_by, "wrapped": row.wrapped}

    def _facts(self) -> dict[str, Any]:
        self._at += timedelta(milliseconds=self.random.randint(1, 900))
        tenant = self.random.choice(TENANTS)
        acts = [*PAYLOADS, Action.API_KEY_CREATE] if tenant else [Action.TENANT_CREATE]
        return {
            "at": self._at,
            "action": self.random.choice(acts),
            "tenant_id": tenant,
            "request_id": self._uuid(),
            "actor": f"key:{self._uuid()}",
            "subject_id": self._uuid(),
            "api_key_id": self._uuid(),
            "client_net": "198.51.100.0",
            "route": "/v1/chat/completions",
            "model": "smollm2",
            "upstream": "llama_cpp",
            "payload_sha256": None,
            "detail": Jsonb({"name": 'a "name"\n', "count": self.random.randint(1, 9)}),
        }

    def _uuid(self) -> UUID:
        return UUID(bytes=self.random.randbytes(16), version=4)

    def verify(self, **options: Any) -> VerificationReport:
        return verify(self.root, **options)


@contextmanager
def clock_of_the_sealer(at: datetime) -> Iterator[None]:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]  # always aware
            return at

    with patch.object(seal, "datetime", Clock):
        yield


def _checkpoints(root: psycopg.Connection[Any]) -> list[Checkpoint]:
    names = ("n", "size", "root", "previous", "at", "key_id", "signature")
    rows = root.execute(f"select {', '.join(names)} from audit_checkpoint order by n".encode())
    return [Checkpoint(**dict(zip(names, row, strict=True))) for row in rows]


def empty(root: psycopg.Connection[Any]) -> None:
    keyring.close()  # it would remember keys that are not there
    root.execute(
        "truncate audit_event, audit_payload, audit_datakey, audit_seal, audit_checkpoint, "
        "audit_sealmark, audit_witnessmark, audit_prunedmonth"
    )
    root.commit()
