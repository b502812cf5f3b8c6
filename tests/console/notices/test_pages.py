"""Pages of notices: targets, deliveries, preferences, and what waits for a person."""

from datetime import timedelta

import pytest
from django.core.cache import caches
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from audit.models import Event
from tenants.models import (
    Member,
    Notice,
    NoticePreference,
    NoticeState,
    NoticeTarget,
    Quota,
    QuotaRaise,
    Tenant,
    User,
)
from tests.console.conftest import PASSWORD, SignIn, hidden_fields

pytestmark = pytest.mark.django_db
FORM = {
    "kind": "webhook",
    "name": "operations",
    "url": "https://hooks.example.com/T0K3N",
    "groups": ["quotas", "raises"],
    "language": "en",
}
AT = "/console/t/acme/notices/"


def test_a_target_from_its_secret_to_its_removal(alice: Member, sign_in: SignIn) -> None:
    client = sign_in(alice)
    page = client.post(f"{AT}addition/", FORM).content.decode()
    assert "whsec_" in page
    target = NoticeTarget.objects.get()
    at = f"{AT}{target.pk}/"
    assert "T0K3N" not in page + client.get(at).content.decode()
    assert "whsec_" in client.post(f"{at}rotation/", {"overlap_hours": 24}).content.decode()
    change = {"name": "people", "groups": ["holds"], "language": "zh-hans"}
    client.post(at, change)
    target.refresh_from_db()
    assert (target.name, target.groups, target.enabled) == ("people", ["holds"], False)
    client.post(f"{at}trial/")
    assert Notice.objects.get().event == "notice.test"
    assert "notice.test" in client.get(f"{AT}deliveries/?target={target.pk}").content.decode()
    again = client.post(f"{at}trial/", follow=True).content.decode()
    assert "A test has just been sent. Send the next one in 10 s." in again
    assert Notice.objects.count() == 1
    client.post(f"{at}removal/")
    assert not NoticeTarget.objects.exists()


def test_a_target_that_was_turned_off_meanwhile_stays_off(alice: Member, sign_in: SignIn) -> None:
    client = sign_in(alice)
    client.post(f"{AT}addition/", FORM)
    target = NoticeTarget.objects.get()
    at = f"{AT}{target.pk}/"
    change = {"name": "people", "groups": ["holds"], "language": "en", "enabled": "on"}
    opened = hidden_fields(client, at)
    target.change(by="test", enabled=False)
    page = client.post(at, {**change, **opened}).content.decode()
    assert "Somebody has changed it meanwhile." in page
    target.refresh_from_db()
    assert (target.name, target.enabled) == ("operations", False)


def test_a_wrong_url_is_refused_beside_its_field(alice: Member, sign_in: SignIn) -> None:
    page = sign_in(alice).post(f"{AT}addition/", {**FORM, "url": "https://10.0.0.1/"})
    assert "private address" in page.content.decode()
    assert not NoticeTarget.objects.exists()


def test_deliveries_are_searched_and_sent_again(alice: Member, sign_in: SignIn) -> None:
    client = sign_in(alice)
    client.post(f"{AT}addition/", FORM)
    target = NoticeTarget.objects.get()
    common = {"tenant": alice.tenant, "target": target, "event": "quota.reached"}
    failed = Notice.objects.create(
        occasion="1", state=NoticeState.FAILED, ended_at=timezone.now(), reason="refused", **common
    )
    sent = Notice.objects.create(occasion="2", state=NoticeState.SENT, **common)
    page = client.get(f"{AT}deliveries/?state=failed").content.decode()
    assert str(failed.pk) in page
    assert str(sent.pk) not in page
    assert str(sent.pk) in client.get(f"{AT}deliveries/?id={sent.pk}").content.decode()
    client.post(f"{AT}deliveries/{failed.pk}/redelivery/")
    failed.refresh_from_db()
    assert failed.state == NoticeState.WAITING


def test_another_tenants_target_does_not_exist(
    alice: Member, charlie: Member, sign_in: SignIn
) -> None:
    sign_in(alice).post(f"{AT}addition/", FORM)
    target, theirs = NoticeTarget.objects.get(), sign_in(charlie)
    assert theirs.get(f"{AT}{target.pk}/").status_code == 404
    assert theirs.get(f"/console/t/globex/notices/{target.pk}/").status_code == 404


def test_operators_have_targets_and_see_to_whom_mails_went(
    operator: User, alice: Member, sign_in: SignIn
) -> None:
    client = sign_in(operator)
    client.post("/console/notices/addition/", FORM)
    assert NoticeTarget.objects.get().tenant is None
    Notice.objects.create(user=alice.user, event="password.changed", occasion="1")
    page = client.get("/console/notices/mails/").content.decode()
    assert "alice@acme.example" in page
    assert "password.changed" in page


def test_a_person_chooses_what_comes_by_mail(dave: Member, sign_in: SignIn) -> None:
    client = sign_in(dave)
    assert "Sign-ins, passwords" in client.get("/account/notices/").content.decode()
    client.post("/account/notices/", {"language": "zh-hans", "mailed": ["quotas"]})
    row = NoticePreference.objects.get()
    assert (row.user, row.language) == (dave.user, "zh-hans")
    assert "quotas" not in row.muted
    assert {"holds", "raises"} <= set(row.muted)
    assert not {"security", "invitations"} & set(row.muted)


def test_a_sign_in_on_a_new_device_is_on_record(bob: Member) -> None:
    fields = {"login": bob.user.email, "password": PASSWORD}
    known = Client()
    for client in (known, known, Client()):
        client.post("/login/", fields)
        client.post("/logout/")
    rows = Event.objects.filter(action="session:login").order_by("id")
    assert ["new_device" in row.detail for row in rows] == [False, False, True]
    assert NoticePreference.objects.get(user=bob.user).last_language == "en"


def _ask(acme: Tenant, member: Member) -> None:
    quota = Quota.objects.create(tenant=acme, unit="tokens", window="day", limit=10)
    ends = timezone.now() + timedelta(days=1)
    QuotaRaise.ask(quota, 5, "more", ends, user=member.user, by=member.actor)


def test_what_waits_is_counted_by_role_and_not_for_who_asked(
    acme: Tenant, alice: Member, erin: Member, bob: Member, sign_in: SignIn
) -> None:
    _ask(acme, erin)
    page = sign_in(alice).get("/account/waiting/").content.decode()
    assert "Quota increases to decide" in page
    assert "/console/t/acme/raises/" in page
    for member in (erin, bob):
        page = sign_in(member).get("/account/waiting/").content.decode()
        assert "Nothing waits for you" in page


def test_the_bell_leads_straight_to_the_only_place(
    acme: Tenant, alice: Member, erin: Member, sign_in: SignIn
) -> None:
    _ask(acme, erin)
    answer = sign_in(alice).get("/account/waiting/?straight")
    assert (answer.status_code, answer.headers["location"]) == (302, "/console/t/acme/raises/")
    assert sign_in(erin).get("/account/waiting/?straight").status_code == 200


def test_the_bell_costs_one_statement_and_is_kept(
    acme: Tenant,
    alice: Member,
    bob: Member,
    sign_in: SignIn,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    from console.waiting.counts import waiting_for

    _ask(acme, bob)
    caches["process"].clear()
    assert [(row.page, row.count, row.tenant) for row in waiting_for(alice.user)] == [
        ("raises", 1, "acme")
    ]
    with django_assert_num_queries(0):
        waiting_for(alice.user)


def test_an_operator_sees_what_waits_on_the_platform(
    acme: Tenant, bob: Member, operator: User, sign_in: SignIn
) -> None:
    _ask(acme, bob)
    Quota.objects.update(set_by_platform=True)
    page = sign_in(operator).get("/account/waiting/").content.decode()
    assert "Quota increases to decide" in page


def test_what_an_operator_asked_for_themselves_waits_for_another(
    acme: Tenant, bob: Member, operator: User, sign_in: SignIn
) -> None:
    _ask(acme, bob)
    Quota.objects.update(set_by_platform=True)
    QuotaRaise.objects.update(requested_by=operator)
    page = sign_in(operator).get("/account/waiting/").content.decode()
    assert "Quota increases to decide" not in page
