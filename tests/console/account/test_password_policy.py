"""What a password must be, under which profile, and when it must be changed."""

import string
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from console.account.password_policy import POLICIES, character_classes, policy_of, shortcomings
from tenants.models import Link, Member, PasswordHistory, Tenant, User
from tenants.models.link import Purpose
from tenants.models.user import MOST_PASSWORDS
from tenants.roles import Profile
from tests.console.account.conftest import try_password
from tests.console.conftest import PASSWORD

MLPS, ASVS = POLICIES[Profile.MLPS], POLICIES[Profile.ASVS]
KINDS = (string.ascii_lowercase, string.ascii_uppercase, string.digits, string.punctuation + " 汉")
STRONG = "Forebay holds the river, 2026"
EMAIL = "bob@acme.example"


def change(client: Client, old: str, new: str) -> Any:
    form = {"oldpassword": old, "password1": new, "password2": new}
    return client.post("/account/password/", form)


# The table -----------------------------------------------------------------------------------
@pytest.mark.unit
@given(st.lists(st.sampled_from(range(4)), min_size=1, max_size=40), st.data())
def test_classes_counts_the_kinds_that_are_there(kinds: list[int], data: st.DataObject) -> None:
    password = "".join(data.draw(st.sampled_from(KINDS[kind])) for kind in kinds)
    assert character_classes(password) == len(set(kinds))


@pytest.mark.unit
@given(st.text(max_size=300))
def test_mlps_refuses_exactly_what_is_short_long_or_lacks_a_kind(password: str) -> None:
    good = 12 <= len(password) <= 256 and character_classes(password) == 4
    assert (not shortcomings(password, MLPS)) == good


@pytest.mark.unit
@given(st.text(min_size=12, max_size=256))
def test_asvs_asks_for_no_composition(password: str) -> None:
    assert not shortcomings(password, ASVS)


# Whose ---------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_the_strictest_of_ones_tenants_binds(bob: Member, globex: Tenant, operator: User) -> None:
    assert policy_of(bob.user) == ASVS
    globex.add_member(bob.user, "member", by="test")  # type: ignore[arg-type]
    Tenant.objects.filter(pk=globex.pk).update(profile="mlps-l3")
    assert policy_of(bob.user) == MLPS
    assert policy_of(operator) == ASVS


@pytest.mark.django_db
def test_an_operators_is_the_platforms(operator: User, settings: Any) -> None:
    settings.PROFILE = "mlps-l3"
    assert policy_of(operator) == MLPS


# Choosing ------------------------------------------------------------------------------------
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("new", "said"),
    [
        ("too short", "too short"),
        ("password1234", "too common"),
        ("bob@acme.example", "too similar"),
        ("x" * 257, "At most 256"),
    ],
)
def test_a_bad_choice_is_refused(bob: Member, client: Client, new: str, said: str) -> None:
    try_password(client, EMAIL)
    assert said in change(client, PASSWORD, new).content.decode()
    assert try_password(Client(), EMAIL).status_code == 302


@pytest.mark.django_db
def test_the_policy_stands_beside_the_new_password(bob: Member, client: Client) -> None:
    Tenant.objects.update(profile="mlps-l3")
    try_password(client, EMAIL)
    hint = change(client, PASSWORD, "weak").context["form"]["password1"].help_text
    assert hint == (
        "At least 12 characters. A sentence is fine. Use small letters, capitals, digits and "
        "other characters: all four. None of your last 5."
    )


@pytest.mark.django_db
def test_long_ones_and_any_language_are_welcome(bob: Member, client: Client) -> None:
    try_password(client, EMAIL)
    new = "水库蓄水,大坝拦江。" * 20
    assert change(client, PASSWORD, new).status_code == 302
    assert try_password(Client(), EMAIL, new).status_code == 302


@pytest.mark.django_db
def test_under_mlps_the_last_five_do_not_come_back(bob: Member, client: Client) -> None:
    Tenant.objects.update(profile="mlps-l3")
    used = [f"Forebay {number} holds the river!" for number in range(6)]
    bob.user.take_password(used[0])
    for password in used[1:]:
        bob.user.take_password(password)
    assert PasswordHistory.objects.filter(user=bob.user).count() == MOST_PASSWORDS
    try_password(client, EMAIL, used[5])
    for old in used[1:]:
        assert "used this password before" in change(client, used[5], old).content.decode(), old
        client.get("/account/")
        from django.core.cache import cache

        cache.clear()  # five changes a minute are the most
    assert change(client, used[5], used[0]).status_code == 302


@pytest.mark.django_db
def test_an_invitation_asks_for_what_its_tenant_asks_for(acme: Tenant, client: Client) -> None:
    Tenant.objects.update(profile="mlps-l3")
    url = urlsplit(Link.issue(Purpose.INVITATION, by="test", email="g@x.example", tenant=acme)).path
    form = {"name": "Grace", "password": PASSWORD, "again": PASSWORD}
    assert "all four" in client.post(url, form).content.decode()
    assert client.post(url, {**form, "password": STRONG, "again": STRONG}).status_code == 302


# Changing in time ----------------------------------------------------------------------------
@pytest.mark.django_db
def test_ninety_days_under_mlps(bob: Member) -> None:
    bob.user.take_password(STRONG)
    Tenant.objects.update(profile="mlps-l3")
    for days, first in ((89, "/console/t/acme/"), (90, "/account/password/")):
        long_ago = timezone.now() - timedelta(days=days)
        User.objects.filter(pk=bob.user.pk).update(password_changed_at=long_ago)
        client = Client()
        try_password(client, EMAIL, STRONG)
        answer = client.get("/console/t/acme/")
        assert (answer.status_code, answer.headers.get("Location", "/console/t/acme/")) == (
            (200, first) if days == 89 else (302, first)
        )
    page = client.get("/account/password/").content.decode()
    assert "too old or too weak" in page
    assert change(client, STRONG, "A newer river, 2027").status_code == 302
    assert client.get("/console/t/acme/").status_code == 200


@pytest.mark.django_db
def test_never_under_asvs(bob: Member, client: Client) -> None:
    ages_ago = timezone.now() - timedelta(days=4000)
    User.objects.filter(pk=bob.user.pk).update(password_changed_at=ages_ago)
    try_password(client, EMAIL)
    assert client.get("/console/t/acme/").status_code == 200


@pytest.mark.django_db
def test_one_too_weak_for_a_profile_turned_on_is_changed_first(bob: Member) -> None:
    Tenant.objects.update(profile="mlps-l3")
    client = Client()
    try_password(client, EMAIL)
    assert client.get("/console/t/acme/")["Location"] == "/account/password/"
    assert client.get("/chat/")["Location"] == "/account/password/"
    assert change(client, PASSWORD, STRONG).status_code == 302
    assert client.get("/console/t/acme/").status_code == 200
    again = Client()
    try_password(again, EMAIL, STRONG)
    assert again.get("/console/t/acme/").status_code == 200
