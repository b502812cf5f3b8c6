"""Keys of operators: made by whom, for how long, and when they end."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.core.exceptions import ValidationError
from django.db import connection
from django.utils import timezone

from audit.actions import Action
from audit.models import Event
from tenants import secret_keys
from tenants.accounts import operator_keys
from tenants.models import OperatorKey, User
from tenants.operator_scopes import OperatorScope
from tenants.scope import person_scope

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(db: None) -> User:
    """Has a second factor."""
    user = User.objects.create_user("op@forebay.example", is_operator=True)
    Authenticator.objects.create(user=user, type=Authenticator.Type.TOTP, data={})
    return user


def made(maker: User, **settings: Any) -> tuple[OperatorKey, str]:
    usual = {"scopes": ["engines:read"], "expires_at": timezone.now() + timedelta(days=1)}
    return operator_keys.make(maker, "ansible", **{**usual, **settings})


def test_only_a_keyed_hash_of_the_text_is_stored(operator: User) -> None:
    key, text = made(operator)
    assert text.startswith("sk-fbop-")
    key.refresh_from_db()
    assert bytes(key.digest) == secret_keys.digest(text)
    with connection.cursor() as cursor:
        cursor.execute("select k::text from tenants_operatorkey k")
        assert text not in str(cursor.fetchall())


def test_one_kind_of_key_is_never_taken_for_the_other(operator: User) -> None:
    _key, text = made(operator)
    assert secret_keys.well_formed(text, secret_keys.OPERATOR_PREFIX)
    assert not secret_keys.well_formed(text)
    tenants = secret_keys.mint().text
    assert not secret_keys.well_formed(tenants, secret_keys.OPERATOR_PREFIX)


def test_a_second_factor_is_needed_even_where_the_platform_asks_for_none(
    operator: User, settings: Any
) -> None:
    settings.SECOND_FACTOR = "optional"
    Authenticator.objects.all().delete()
    with pytest.raises(ValidationError, match="second factor"):
        made(operator)
    assert not OperatorKey.objects.exists()


def test_only_an_operator_makes_one(operator: User) -> None:
    operator.is_operator = False
    with pytest.raises(ValidationError, match="Only operators"):
        made(operator)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("scopes", []),
        ("scopes", ["management:read"]),
        ("scopes", ["engines:all"]),
        ("allowed_networks", ["nowhere"]),
        ("allowed_networks", [f"192.0.2.{n}" for n in range(101)]),
        ("expires_at", timezone.now() - timedelta(seconds=1)),
        ("expires_at", timezone.now() + timedelta(days=367)),
        ("expires_at", datetime(2027, 1, 1)),  # noqa: DTZ001  # without a time zone
        ("expires_at", None),
    ],
)
def test_a_wrong_setting_makes_no_key(operator: User, field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as problem:
        made(operator, **{field: value})
    assert field in problem.value.message_dict
    assert not OperatorKey.objects.exists()


@pytest.mark.parametrize("name", ["a\nb", "x\x1b[2J", "\u202egpj.exe", "\u200b", "", "x" * 81])
def test_a_name_is_one_line_that_can_be_read(operator: User, name: str) -> None:
    """Tenants see it on their record."""
    ends = timezone.now() + timedelta(days=1)
    with pytest.raises(ValidationError) as problem:
        operator_keys.make(operator, name, scopes=["engines:read"], expires_at=ends)
    assert "name" in problem.value.message_dict
    assert not OperatorKey.objects.exists()


def test_an_operator_has_so_many_keys_at_most(
    operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenants.models.operator_key.MOST_LIVE", 2)
    another = User.objects.create_user("second@forebay.example", is_operator=True)
    Authenticator.objects.create(user=another, type=Authenticator.Type.TOTP, data={})
    first, _text = made(operator)
    made(operator)
    with pytest.raises(ValidationError, match="You have 2 operator keys"):
        made(operator)
    made(another)
    first.revoke(by="test")
    made(operator)
    assert OperatorKey.objects.live().count() == 3


def test_making_and_revoking_are_on_record_once(operator: User) -> None:
    key, text = made(operator, scopes=["engines:write", "engines:read"])
    key.revoke(by="operator:7", reason="it leaked")
    key.revoke(by="operator:7")
    creation, revocation = Event.objects.filter(action__startswith="operator_key:").order_by("id")
    known = {"operator_key": str(key.pk), "name": "ansible", "public_id": key.public_id}
    assert (creation.action, creation.actor) == (Action.OPERATOR_KEY_CREATE, operator.actor)
    assert creation.detail == {**known, "scopes": ["engines:read", "engines:write"]}
    assert (revocation.action, revocation.actor) == (Action.OPERATOR_KEY_REVOKE, "operator:7")
    assert revocation.detail == {**known, "reason": "it leaked"}
    assert text not in str([creation.detail, revocation.detail])


def test_a_key_works_until_it_expires_or_is_revoked(operator: User) -> None:
    key, _text = made(operator)
    assert OperatorKey.objects.working().get() == key
    OperatorKey.objects.update(expires_at=timezone.now())
    assert not OperatorKey.objects.working().exists()
    other, _text = made(operator)
    other.revoke(by="test")
    assert not OperatorKey.objects.working().exists()


def test_the_keys_of_a_removed_operator_end_for_good(operator: User) -> None:
    """They stay revoked when the person becomes an operator again."""
    another = User.objects.create_user("second@forebay.example", is_operator=True)
    Authenticator.objects.create(user=another, type=Authenticator.Type.TOTP, data={})
    key, _text = made(operator)
    kept, _text = made(another)
    operator.stop_operating(by="command:remove_operator")
    assert list(OperatorKey.objects.working()) == [kept]
    event = Event.objects.get(action=Action.OPERATOR_KEY_REVOKE)
    assert event.detail["reason"] == "its maker was removed"
    User.objects.filter(pk=operator.pk).update(is_operator=True)
    key.refresh_from_db()
    assert key.revoked_at
    assert list(OperatorKey.objects.working()) == [kept]


@pytest.mark.parametrize("change", [{"is_active": False}, {"is_operator": False}])
def test_a_key_opens_nothing_while_its_maker_may_not_operate(
    operator: User, change: dict[str, bool]
) -> None:
    made(operator)
    User.objects.filter(pk=operator.pk).update(**change)
    assert not OperatorKey.objects.working().exists()


def test_a_key_whose_maker_is_erased_stays_as_a_name_and_opens_nothing(operator: User) -> None:
    key, _text = made(operator)
    operator.delete()
    key.refresh_from_db()
    assert key.created_by is None
    assert not OperatorKey.objects.working().exists()


def test_use_is_noted_every_ten_seconds_at_most(operator: User) -> None:
    key, _text = made(operator)
    key.note_use()
    key.refresh_from_db()
    first = key.last_used_at
    assert first
    key.note_use()
    key.refresh_from_db()
    assert key.last_used_at == first
    OperatorKey.objects.update(last_used_at=first - timedelta(seconds=11))
    later = OperatorKey.objects.get()
    later.note_use()
    later.refresh_from_db()
    assert later.last_used_at
    assert later.last_used_at > first


def test_scopes_read_and_write_apart() -> None:
    areas = {"engines", "pools", "prices", "limits"}
    assert set(OperatorScope) == {f"{area}:{way}" for area in areas for way in ("read", "write")}


def test_postgresql_shows_a_person_the_keys_that_they_made(operator: User) -> None:
    """To requests of everybody else the table is empty."""
    stranger = User.objects.create_user("mallory@forebay.example", is_operator=True)
    key, _text = made(operator)
    with person_scope(operator.pk):
        assert [each.pk for each in OperatorKey.objects.all()] == [key.pk]
    with person_scope(stranger.pk):
        assert not OperatorKey.objects.exists()
