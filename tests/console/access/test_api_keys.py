import re
from datetime import timedelta

import pytest
from django.utils import timezone

from audit.actions import Action
from audit.models import Event
from tenants import secret_keys
from tenants.models import ApiKey, Member, User
from tests.console.conftest import SignIn

KEYS = "/console/t/acme/keys/"
FORM = {"name": "fraud scoring", "days": "90", "scopes": ["inference"]}


def test_a_key_is_shown_once(bob: Member, sign_in: SignIn) -> None:
    client = sign_in(bob)
    shown = client.post(KEYS, FORM).content.decode()
    found = re.search(r'value="(sk-fb-[^"]+)"', shown)
    assert found
    key = ApiKey.objects.get()
    assert bytes(key.digest) == secret_keys.digest(found[1])
    assert found[1] not in client.get(KEYS).content.decode()
    assert key.public_id in client.get(KEYS).content.decode()


def test_a_key_is_never_cached(bob: Member, sign_in: SignIn) -> None:
    assert "no-store" in sign_in(bob).post(KEYS, FORM)["Cache-Control"]


def test_who_made_it_and_when_it_ends(bob: Member, sign_in: SignIn) -> None:
    sign_in(bob).post(KEYS, FORM)
    key = ApiKey.objects.get()
    assert key.created_by == bob
    assert key.expires_at
    assert timedelta(days=89) < key.expires_at - timezone.now() <= timedelta(days=90)
    event = Event.objects.get(action=Action.API_KEY_CREATE)
    assert (event.actor, event.tenant_id) == (bob.actor, bob.tenant_id)


def test_a_key_may_never_expire(bob: Member, sign_in: SignIn) -> None:
    sign_in(bob).post(KEYS, {**FORM, "days": "0"})
    assert ApiKey.objects.get().expires_at is None


@pytest.mark.parametrize(
    "bad", [{"name": ""}, {"name": "x" * 81}, {"days": "7"}, {"days": "x"}, {"days": ""}]
)
def test_bad_input_makes_no_key(bob: Member, sign_in: SignIn, bad: dict[str, str]) -> None:
    answer = sign_in(bob).post(KEYS, {**FORM, **bad})
    assert answer.status_code == 200
    assert "invalid-feedback" in answer.content.decode()
    assert not ApiKey.objects.exists()


def test_a_revoked_key_leaves_the_list(alice: Member, sign_in: SignIn) -> None:
    client = sign_in(alice)
    key, _ = ApiKey.issue(alice.tenant, "ci", by="test")
    answer = client.post(f"{KEYS}{key.pk}/revocation/", follow=True)
    assert "The key ci is revoked." in answer.content.decode()
    assert list(answer.context["live"]) == []
    assert list(answer.context["revoked"]) == [key]
    client.post(f"{KEYS}{key.pk}/revocation/")
    assert Event.objects.filter(action=Action.API_KEY_REVOKE, actor=alice.actor).count() == 1


def test_an_operators_key_has_no_member_behind_it(
    alice: Member, operator: User, sign_in: SignIn
) -> None:
    sign_in(operator).post(KEYS, FORM)
    assert ApiKey.objects.get().created_by is None
    assert Event.objects.get(action=Action.API_KEY_CREATE).actor == operator.actor


def test_the_name_is_text_not_markup(bob: Member, sign_in: SignIn) -> None:
    client = sign_in(bob)
    client.post(KEYS, {**FORM, "name": "<script>alert(1)</script>"})
    assert "<script>alert" not in client.get(KEYS).content.decode()


def test_an_auditor_sees_keys_but_no_way_to_make_one(carol: Member, sign_in: SignIn) -> None:
    page = sign_in(carol).get(KEYS).content.decode()
    assert "No API key yet" in page
    assert "Create key" not in page
