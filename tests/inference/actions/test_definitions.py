"""An action is stored with checked URL, schemas and texts, and its secret can be replaced."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone
from pytest_django.fixtures import Settings

from audit.models import Event
from inference.actions import definitions, schemas
from inference.models import WebhookAction
from infrastructure.webhooks import addresses
from tenants.models import Tenant
from tests.inference.actions.conftest import ARGUMENTS, new_action

URL = "https://shop.example.com/orders"


def test_the_secret_is_shown_once_and_encrypted_at_rest(acme: Tenant) -> None:
    action, secret = new_action(acme, URL)
    stored = WebhookAction.objects.get(pk=action.pk)
    assert secret.startswith("whsec_")
    assert secret.encode() not in bytes(stored.secret)
    assert stored.signing_secrets(timezone.now()) == [secret]


def test_a_replaced_secret_signs_until_the_overlap_ends(acme: Tenant) -> None:
    action, former = new_action(acme, URL)
    present = definitions.rotate(action, timedelta(hours=24), by="test")
    now = timezone.now()
    assert action.signing_secrets(now) == [present, former]
    assert action.signing_secrets(now + timedelta(hours=25)) == [present]
    with pytest.raises(ValidationError, match="30 days"):
        definitions.rotate(action, timedelta(days=31), by="test")


def test_changes_are_on_the_trail_without_secrets(acme: Tenant) -> None:
    action, secret = new_action(acme, URL)
    definitions.change(action, by="test", timeout_s=5, moves_money=True)
    definitions.change(action, by="test", timeout_s=5)  # changes nothing
    definitions.rotate(action, timedelta(), by="test")
    action.remove(by="test")
    events = Event.objects.filter(tenant_id=acme.pk, action__startswith="action:").order_by("id")
    acts = [event.action for event in events]
    assert acts == ["action:create", "action:change", "action:rotate", "action:remove"]
    assert events[1].detail["changed"] == {"timeout_s": [2, 5], "moves_money": [False, True]}
    assert events[1].detail["revision"] == 2
    assert secret not in str([event.detail for event in events])


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"url": "http://shop.example.com/"}, "url"),
        ({"url": "https://me:pw@shop.example.com/"}, "url"),
        ({"url": "https://169.254.169.254/latest"}, "url"),
        ({"url": "https://[fd00:ec2::254]/"}, "url"),
        ({"url": "https://10.0.0.5/"}, "url"),
        ({"url": "https://shop.example.com/#x"}, "url"),
        ({"arguments": {"type": "array"}}, "arguments"),
        ({"arguments": {"type": "object", "properties": {"a": {"type": "text"}}}}, "arguments"),
        ({"answer": {"type": "object", "$ref": "https://evil.example/x"}}, "answer"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"timeout_s": 31}, "timeout_s"),
        ({"description": {"fr": "Commande"}}, "description"),
        ({"on_success": {"en": "{{nothing}}"}}, "on_success"),
        ({"on_failure": {"en": "x" * 501}}, "on_failure"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(
    acme: Tenant, fields: dict[str, Any], where: str
) -> None:
    action, _secret = new_action(acme, URL)
    with pytest.raises(ValidationError) as refusal:
        definitions.change(action, by="test", **fields)
    assert list(refusal.value.message_dict) == [where]
    action.refresh_from_db()
    assert (action.url, action.revision) == (URL, 1)


def test_two_actions_of_a_tenant_have_different_names(acme: Tenant, globex: Tenant) -> None:
    new_action(acme, URL)
    new_action(globex, URL)
    with pytest.raises(ValidationError, match="taken"):
        new_action(acme, URL)


@pytest.mark.unit
@pytest.mark.parametrize(
    "pattern",
    [
        *("(a+)+$", "a*b*c", r"(a)\1", "[", "(?P<x>a)(?P=x)", "x" * 201),
        *("a?" * 24 + "a" * 24, "a{0,99}" * 4 + "b", "(a|aa)" * 22 + "b", "(?=a*a*b)c", "(?i)a"),
    ],
)
def test_a_costly_pattern_is_refused(pattern: str) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": pattern}}}
    with pytest.raises(ValidationError):
        schemas.check(schema)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("^A-[0-9]+$", "A-17"),
        (r"^(DE|FR)-?\d{4,8}(/\d{2})?$", "DE-123456/07"),
        (r"^\d{3}-?\d{2}-?\d{4}$", "123-45-6789"),
    ],
)
def test_usual_patterns_are_taken(pattern: str, text: str) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": pattern}}}
    schemas.check(schema)
    assert schemas.problem(schema, {"a": text}) == ""
    assert schemas.problem(schema, {"a": f"{text} and more"}) == "$.a: pattern"


@pytest.mark.unit
def test_a_check_of_a_large_answer_takes_no_seconds() -> None:
    pattern = {"type": "string", "pattern": "a*b"}
    schema = {"type": "object", "properties": {"a": pattern, "b": {"items": {"enum": [1] * 50}}}}
    schemas.check(schema)
    assert schemas.problem(schema, {"a": "a" * 60_000}) == "$.a: pattern"
    assert schemas.problem(schema, {"b": [1] * 20_000}) == "$: too many values"
    deep: Any = []
    for _ in range(900):
        deep = [deep]
    assert schemas.problem(schema, {"c": deep}) == ""
    with pytest.raises(ValidationError, match="uniqueItems"):
        schemas.check({"type": "object", "properties": {"b": {"uniqueItems": True}}})


@pytest.mark.unit
def test_a_schema_in_too_many_levels_is_refused() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(40):
        schema = {"type": "object", "properties": {"a": schema}}
    with pytest.raises(ValidationError, match="levels"):
        schemas.check(schema)


@pytest.mark.unit
def test_a_problem_names_place_and_rule_and_never_the_value() -> None:
    assert schemas.problem(ARGUMENTS, {"order": "A-1"}) == ""
    assert schemas.problem(ARGUMENTS, {"order": "secret"}) == "$.order: pattern"
    assert schemas.problem(ARGUMENTS, {}) == "$: required"
    assert schemas.problem(ARGUMENTS, [1]) == "$: object"


@pytest.mark.unit
@pytest.mark.parametrize(
    ("address", "named", "allowed"),
    [
        ("93.184.215.14", False, True),
        ("10.0.0.5", False, False),
        ("10.0.0.5", True, True),
        ("127.0.0.1", False, False),
        ("::ffff:127.0.0.1", False, False),
        ("64:ff9b:1::a00:1", False, False),
        ("::ffff:0:a00:1", False, False),
        ("::a00:1", False, False),
        ("fec0::1", False, False),
        ("169.254.169.254", True, False),
        ("fd00:ec2::254", True, False),
        ("100.64.0.1", True, False),
    ],
)
def test_private_addresses_are_for_named_hosts(
    address: str, named: bool, allowed: bool, settings: Settings
) -> None:
    assert (addresses.refusal_reason(address, named=named) == "") is allowed


@pytest.mark.unit
def test_plain_http_is_for_this_machine() -> None:
    assert addresses.refusal_reason("127.0.0.1", named=True, secure=False) == ""
    assert addresses.refusal_reason("93.184.215.14", named=True, secure=False)
