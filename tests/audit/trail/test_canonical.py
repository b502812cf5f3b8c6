"""The line under an event's leaf: Python and PostgreSQL write it alike, byte for byte."""

import ipaddress
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import orjson
import psycopg
import pytest
from django.db import connection
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from audit.actions import Action
from audit.models import Event
from audit.trail import canonical, record

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
numbers = st.one_of(
    st.integers(-(10**40), 10**40),
    st.floats(allow_nan=False, allow_infinity=False),
)
details = st.dictionaries(
    texts,
    st.recursive(
        st.one_of(st.none(), st.booleans(), numbers, texts),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
        max_leaves=12,
    ),
    max_size=5,
)
counts = st.none() | st.integers(-(2**31), 2**31 - 1)
uuids = st.none() | st.uuids()
moments = st.datetimes(datetime(1971, 1, 1), datetime(2900, 1, 1), timezones=st.just(UTC))
events = st.fixed_dictionaries(
    {
        "action": st.sampled_from(list(Action)),
        "at": moments,
        "actor": texts,
        "tenant_id": uuids,
        "request_id": uuids,
        "subject_id": uuids,
        "api_key_id": uuids,
        "client_net": st.none() | st.ip_addresses().map(str),
        "route": texts,
        "model": texts,
        "upstream": texts,
        "success": st.booleans(),
        "status": st.none() | st.integers(-(2**15), 2**15 - 1),
        "error_code": texts,
        "response_length": counts,
        "processing_ms": counts,
        "tokens_in": counts,
        "tokens_out": counts,
        "payload_sha256": st.none() | st.binary(max_size=40),
        "detail": details,
    }
)
BARE: dict[str, Any] = {"action": Action.TENANT_CREATE, "at": datetime.now(UTC), "actor": "cli"}
_TYPES = """action text, at timestamptz, actor text, tenant_id uuid, request_id uuid,
    subject_id uuid, api_key_id uuid, client_net inet, route text, model text, upstream text,
    success bool, status smallint, error_code text, response_length int, processing_ms int,
    tokens_in int, tokens_out int, payload_sha256 bytea, detail jsonb"""
_AS_COLUMNS = ", ".join(
    f"%({name})s::{kind} as {name}"
    for name, kind in (column.split() for column in _TYPES.split(","))
)


def in_sql(look: psycopg.Connection, event: dict[str, Any]) -> bytes:
    values = {**event, "detail": Jsonb(event["detail"]), "action": str(event["action"])}
    statement = f"select {canonical.LINE} from (select {_AS_COLUMNS}) event"
    found = look.execute(statement, values).fetchone()
    assert found
    return str(found[0]).encode()


FULL: dict[str, Any] = {
    **BARE,
    "tenant_id": uuid4(),
    "request_id": None,
    "subject_id": None,
    "api_key_id": uuid4(),
    "client_net": "::ffff:192.0.2.0",
    "route": "/v1/x",
    "model": "名",
    "upstream": "",
    "success": True,
    "status": 200,
    "error_code": "",
    "response_length": 1,
    "processing_ms": 2,
    "tokens_in": 3,
    "tokens_out": 4,
    "payload_sha256": b"\0\xff",
    "detail": {
        "b": -0.0,
        "aa": 1e300,
        "é": 5e-324,
        "a": [1.0, {"\x1f": '\x7f\u2028\\"/'}],
        "": 0.1,
    },
}


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(events)
@example(FULL)
def test_python_and_postgresql_write_the_same(
    look: psycopg.Connection, event: dict[str, Any]
) -> None:
    line = canonical.line(canonical.Facts(**event))
    assert line == in_sql(look, event)
    assert len(json.loads(line)) == len(canonical.FIELDS)


@given(details)
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_detail_that_came_as_decimals_is_written_the_same(
    look: psycopg.Connection, detail: dict[str, Any]
) -> None:
    stored = look.execute("select %s::jsonb::text", [json.dumps(detail)]).fetchone()
    assert stored
    exact = json.loads(stored[0], parse_float=Decimal)
    assert canonical.jsonb_text(exact) == stored[0]


@pytest.mark.parametrize("address", [
    "2001:db8::", "::", "::1", "1:0:0:2:0:0:0:3", "2001:db8:0:1:1:1:1:1", "198.51.100.0",
    str(ipaddress.IPv6Address("::ffff:198.51.100.7")), "::198.51.100.7", "fe80::",
])  # fmt: skip
def test_addresses_are_written_as_postgresql_does(look: psycopg.Connection, address: str) -> None:
    event = {**FULL, "client_net": address}
    assert canonical.line(canonical.Facts(**event)) == in_sql(look, event)


@pytest.mark.django_db
def test_an_act_has_the_line_that_it_was_written_with() -> None:
    written = record.act(
        Action.API_KEY_CREATE,
        actor="member:alice",
        tenant_id=uuid4(),
        subject_id=uuid4(),
        client_net="2001:db8:7::",
        detail={"name": "build\nserver", "limits": {"per_minute": 60, "share": 0.25}},
    )
    with connection.cursor() as cursor:
        cursor.execute(f"select {canonical.LINE} from audit_event where id = %s", [written.id])
        assert cursor.fetchone()[0].encode() == canonical.line(written)


def test_what_the_hot_path_sends_is_what_postgresql_stores(look: psycopg.Connection) -> None:
    text = "".join(map(chr, range(1, 0x2100)))
    sent = orjson.dumps([{"model": text}]).decode()
    statement = "select model from jsonb_to_recordset(%s::jsonb) as x(model text)"
    found = look.execute(statement, [sent]).fetchone()
    assert found == (text,)


def test_microseconds_are_exact() -> None:
    for at in (datetime(2026, 11, 25, 1, 2, 3, 999_999, UTC), datetime(2038, 1, 19, tzinfo=UTC)):
        assert canonical.moment(canonical.microseconds(at)) == at
    later = FULL["at"] + timedelta(microseconds=1)
    facts = canonical.Facts(**FULL)
    assert canonical.line(facts) != canonical.line(replace(facts, at=later))


def test_every_column_but_its_place_is_in_the_line() -> None:
    columns = {field.attname for field in Event._meta.concrete_fields}
    assert columns - {"id", "xid", "at"} == set(canonical.FIELDS) - {"version", "at_us"}
