"""The quotas of the chat: what is left for whom, and requests for more by everybody."""

import threading

import pytest
from django.db import connection, transaction
from django.test import Client

from audit.models import Event
from inference.chat.quotas import ask_for_more, remaining
from tenants.models import ApiKey, Member, Quota, QuotaRaise, Team, Tenant
from tests.people import join

pytestmark = pytest.mark.django_db
BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


@pytest.fixture
def bob() -> Member:
    return join(Tenant.open("acme", by="test"), "bob@acme.example")


@pytest.fixture
def client(bob: Member) -> Client:
    client = Client()
    client.force_login(bob.user, BACKEND)
    return client


def limit(of: Member, amount: int = 3000, unit: str = "tokens", **scope: object) -> Quota:
    fields = {"unit": unit, "window": "day", "limit": amount, "by": "test", **scope}
    quota: Quota = Quota.set(of.tenant, **fields)  # type: ignore[arg-type]
    return quota


def test_the_quotas_that_bind_the_chat_are_shown(bob: Member) -> None:
    key, _text = ApiKey.issue(bob.tenant, "ci", by="test")
    alice = join(bob.tenant, "alice@acme.example")
    limit(bob)
    limit(bob, 500, member=bob)
    limit(bob, 2_500_000, unit="cost", model="mock")
    for other in ({"api_key": key}, {"member": alice}, {"model": "another"}):
        limit(bob, **other)
    shown = {one.whose: (one.remaining, one.limit, one.percent) for one in remaining(bob, "mock")}
    assert shown == {
        "tenant": ("3,000", "3,000", 0),
        "member": ("500", "500", 0),
        "model": ("2.50", "2.50", 0),
    }


def test_the_quota_of_ones_only_team_binds_the_chat(bob: Member) -> None:
    research, law = (Team.form(bob.tenant, name, by="test") for name in ("research", "law"))
    limit(bob, 700, team=research)
    limit(bob, 900, team=law)
    research.add(bob, by="test")
    assert [(one.whose, one.limit) for one in remaining(bob, "mock")] == [("team", "700")]
    law.add(bob, by="test")
    assert remaining(bob, "mock") == []


def test_a_member_asks_for_more_and_a_manager_sees_it(bob: Member, client: Client) -> None:
    quota = limit(bob)
    url = f"/chat/quotas/{quota.pk}/raises/"
    assert client.post(url, {"amount": "1,000", "reason": "a report"}).status_code == 204
    raised = QuotaRaise.objects.of(bob.tenant).waiting().get()
    assert (raised.amount, raised.requested_by, raised.reason) == (1000, bob.user, "a report")
    assert raised.expires_at == quota.balance().ends
    assert Event.objects.get(action="raise:request").actor == bob.actor
    assert client.get("/chat/quotas/").json()[0]["requested"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [({"amount": "many", "reason": "x"}, "no_amount"), ({"amount": "5"}, "no_amount")],
)
def test_a_request_says_how_much_and_why(
    bob: Member, client: Client, fields: dict[str, str], code: str
) -> None:
    refused = client.post(f"/chat/quotas/{limit(bob).pk}/raises/", fields)
    assert (refused.status_code, refused.json()["code"]) == (409, code)
    assert not QuotaRaise.objects.exists()


def test_a_reason_with_a_forbidden_character_is_stored_without_it(
    bob: Member, client: Client
) -> None:
    url = f"/chat/quotas/{limit(bob).pk}/raises/"
    assert client.post(url, {"amount": "5", "reason": "a\0 report"}).status_code == 204
    assert QuotaRaise.objects.get().reason == "a report"


def test_one_request_at_a_time(bob: Member, client: Client) -> None:
    url = f"/chat/quotas/{limit(bob).pk}/raises/"
    answers = [client.post(url, {"amount": "5", "reason": "x"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [204, 409]
    assert answers[1].json()["code"] == "already_asked"


@pytest.mark.django_db(transaction=True)
def test_a_double_click_asks_once(bob: Member, client: Client) -> None:
    """The second request comes while the first one is still being stored."""
    quota, statuses = limit(bob), list[int]()
    began, ends = threading.Event(), threading.Event()

    def first() -> None:
        with transaction.atomic():
            ask_for_more(bob, quota, "5", "x")
            began.set()
            ends.wait(30)
        connection.close()

    def second() -> None:
        fields = {"amount": "5", "reason": "x"}
        statuses.append(client.post(f"/chat/quotas/{quota.pk}/raises/", fields).status_code)
        connection.close()

    clicks = [threading.Thread(target=click) for click in (first, second)]
    clicks[0].start()
    assert began.wait(30)
    clicks[1].start()
    clicks[1].join(1)
    ends.set()
    for click in clicks:
        click.join()
    assert (statuses, QuotaRaise.objects.count()) == ([409], 1)


def test_a_budget_is_asked_for_in_the_currency(bob: Member, client: Client) -> None:
    quota = limit(bob, 2_500_000, unit="cost")
    client.post(f"/chat/quotas/{quota.pk}/raises/", {"amount": "1.25", "reason": "x"})
    assert QuotaRaise.objects.get().amount == 1_250_000


def test_nobody_asks_for_more_of_anothers_quota(bob: Member, client: Client) -> None:
    alice = join(bob.tenant, "alice@acme.example")
    theirs = limit(bob, member=alice)
    foreign = limit(join(Tenant.open("globex", by="test"), "charlie@globex.example"))
    for quota in (theirs, foreign):
        url = f"/chat/quotas/{quota.pk}/raises/"
        assert client.post(url, {"amount": "5", "reason": "x"}).status_code == 404
