"""Links by mail: invitations, and for a new password that somebody forgot."""

import re
from urllib.parse import urlsplit

import pytest
from django.core.cache import cache
from django.test import Client
from pytest_django.fixtures import Settings

from audit.keys.cipher import Unreadable
from tenants.accounts import text_lock
from tenants.models import Link, Member, Notice, NoticeState, Tenant
from tenants.models.link import Purpose
from tenants.notices import delivery, links
from tenants.roles import Role
from tests.tenants.notices.conftest import Mailbox

pytestmark = pytest.mark.django_db
NEW = {"password": "another river, another dam", "again": "another river, another dam"}


@pytest.fixture(autouse=True)
def _no_mails_before() -> None:
    """Other tests have asked for links within the hour."""
    cache.clear()


def _url(mail: str) -> str:
    match = re.search(r"https?://\S+/welcome/\S+/", mail.replace("=\n", ""))
    assert match
    return urlsplit(match[0]).path


def _invite(tenant: Tenant, by: Member, email: str = "dora@acme.example") -> str:
    return Link.issue(Purpose.INVITATION, by=by.actor, tenant=tenant, email=email, role=Role.MEMBER)


def test_an_invitation_reaches_its_address(acme: Tenant, alice: Member, mailbox: Mailbox) -> None:
    url = _invite(acme, alice)
    assert links.mail_link(url)
    notice = Notice.objects.get()
    assert url.rpartition("/welcome/")[2] not in str(Notice.objects.values().get())
    delivery.deliver()
    notice.refresh_from_db()
    assert (notice.state, notice.secret) == (NoticeState.SENT, "")
    assert "dora@acme.example" in mailbox.mails[0]
    assert _url(mailbox.mails[0]) == urlsplit(url).path
    assert "Content-Type: text/html" in mailbox.mails[0]


def test_a_revoked_invitation_is_not_sent(acme: Tenant, alice: Member, mailbox: Mailbox) -> None:
    links.mail_link(_invite(acme, alice))
    Link.objects.get().revoke(by=alice.actor)
    delivery.deliver()
    assert mailbox.mails == []


def test_a_tenant_floods_no_mailbox(
    acme: Tenant, alice: Member, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailed = [links.mail_link(_invite(acme, alice)) for _ in range(links.TO_AN_ADDRESS + 1)]
    assert mailed == [True] * links.TO_AN_ADDRESS + [False]
    assert links.mail_link(_invite(acme, alice, "erin@acme.example"))
    monkeypatch.setattr(links, "OF_A_TENANT", 1)
    assert not links.mail_link(_invite(acme, alice, "frank@acme.example"))


def test_without_a_mail_server_nothing_is_stored(
    acme: Tenant, alice: Member, settings: Settings
) -> None:
    settings.MAIL = False
    assert not links.mail_link(_invite(acme, alice))
    assert not Notice.objects.exists()


def test_links_that_cannot_be_made_stop_no_other_mail(
    acme: Tenant, alice: Member, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_notice: Notice) -> None:
        raise Unreadable("no key")

    monkeypatch.setattr(links, "resolve", fails)
    for number in range(delivery.AT_ONCE + 1):
        links.ask_for_reset(f"{number}@acme.example", "en")
    links.mail_link(_invite(acme, alice))
    delivery.deliver()
    assert "dora@acme.example" in mailbox.mails[0]


def test_a_forgotten_password_is_set_by_mail_once(
    bob: Member, mailbox: Mailbox, client: Client
) -> None:
    client.post("/login/forgotten/", {"email": "Bob@acme.example"})
    assert bob.user.email not in str(Notice.objects.values().get())
    delivery.deliver()
    path = _url(mailbox.mails[0])
    assert client.post(path, NEW)["Location"] == "/"
    assert text_lock.of(bob.user) is None, "nobody but the mailbox has seen the link"
    assert Client().get(path).status_code == 410
    bob.user.refresh_from_db()
    assert bob.user.check_password(NEW["password"])


def test_the_page_answers_alike_for_every_address(
    bob: Member, mailbox: Mailbox, client: Client
) -> None:
    pages = [
        client.post("/login/forgotten/", {"email": email}).content.decode()
        for email in (bob.user.email, "nobody@acme.example")
    ]
    token = re.compile(r'name="csrfmiddlewaretoken" value="[^"]*"')
    assert token.sub("", pages[0]) == token.sub("", pages[1])
    assert Notice.objects.count() == 2, "the same work for both"
    delivery.deliver()
    assert len(mailbox.mails) == 1
    assert Notice.objects.get().link, "of the other address nothing stays"


def test_a_new_link_replaces_the_one_before(bob: Member, mailbox: Mailbox, client: Client) -> None:
    for _time in range(2):
        client.post("/login/forgotten/", {"email": bob.user.email})
        delivery.deliver()
    first, second = map(_url, mailbox.mails)
    assert client.get(first).status_code == 410
    assert client.get(second).status_code == 200


def test_a_mailbox_gets_three_in_an_hour(bob: Member, mailbox: Mailbox, client: Client) -> None:
    for _time in range(5):
        answer = client.post("/login/forgotten/", {"email": bob.user.email})
        assert "Check your mail" in answer.content.decode()
    assert Notice.objects.count() == 3


def test_an_account_of_an_identity_provider_gets_none(
    bob: Member, mailbox: Mailbox, client: Client
) -> None:
    bob.user.set_unusable_password()
    bob.user.save()
    client.post("/login/forgotten/", {"email": bob.user.email})
    delivery.deliver()
    assert mailbox.mails == []


def test_without_a_mail_server_there_is_no_page(client: Client, settings: Settings) -> None:
    settings.MAIL = False
    assert client.get("/login/forgotten/").status_code == 404
    assert "forgotten" not in client.get("/login/").content.decode()
