"""Notices by mail, through a real socket."""

from datetime import timedelta
from email import message_from_string, policy
from typing import Any

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from tenants.models import Member, Notice, NoticePreference, NoticeState, Tenant, User
from tenants.notices import delivery, outbox
from tenants.notices.outbox import announce
from tests.tenants.notices.conftest import Mailbox

pytestmark = pytest.mark.django_db
FACTS = {"percent": 80, "unit": "tokens", "window": "day", "limit": 1000, "used": 801}


def _tell(member: Member, event: str = "quota.reached", **facts: Any) -> Notice:
    announce(event, event, tenant_id=member.tenant_id, people=[member.user], facts=facts or FACTS)
    return Notice.objects.get(event=event)


def _parts(mail: str) -> tuple[Any, str, str]:
    parsed = message_from_string(mail, policy=policy.default)
    text, html = parsed.get_body(("plain",)), parsed.get_body(("html",))
    assert text
    assert html
    return parsed, text.get_content(), html.get_content()


def test_it_comes_as_text_and_html(alice: Member, mailbox: Mailbox) -> None:
    notice = _tell(alice)
    delivery.deliver()
    notice.refresh_from_db()
    mail, text, html = _parts(mailbox.mails[0])
    assert (mail["To"], mail["Subject"]) == ("alice@acme.example", "80 % of a quota is used")
    assert mail["Message-ID"].startswith(f"<{notice.id}@")
    assert mail["Auto-Submitted"] == "auto-generated"
    assert "acme has used 801 of 1,000 (Tokens, window: Day)." in text
    assert "/console/t/acme/quotas/" in text
    assert "/account/notices/" in html
    assert notice.state == NoticeState.SENT


def test_it_is_in_the_language_of_the_person(alice: Member, mailbox: Mailbox) -> None:
    NoticePreference.note_language(alice.user, "zh-hans")
    _tell(alice)
    delivery.deliver()
    mail, text, html = _parts(mailbox.mails[0])
    assert mail["Subject"] == "配额已使用 80%"
    assert 'lang="zh-hans"' in html


def test_who_mutes_a_group_gets_none_of_it_but_security(alice: Member, mailbox: Mailbox) -> None:
    NoticePreference.choose(alice.user, "", ["quotas", "security"])
    announce("quota.reached", "q", tenant_id=alice.tenant_id, people=[alice.user], facts=FACTS)
    announce("password.changed", "p", tenant_id=alice.tenant_id, people=[alice.user])
    assert [notice.event for notice in Notice.objects.all()] == ["password.changed"]


def test_a_refused_recipient_is_not_tried_again(alice: Member, mailbox: Mailbox) -> None:
    mailbox.answer = b"550 nobody here"
    notice = _tell(alice)
    delivery.deliver()
    notice.refresh_from_db()
    assert (notice.state, notice.status) == (NoticeState.FAILED, 550)


def test_a_server_that_is_busy_or_away_is_tried_again(
    alice: Member, mailbox: Mailbox, settings: Settings
) -> None:
    mailbox.answer = b"450 later"
    notice = _tell(alice)
    delivery.deliver()
    notice.refresh_from_db()
    assert (notice.state, notice.status) == (NoticeState.WAITING, 450)
    settings.EMAIL_PORT = 1
    Notice.objects.update(due_at=timezone.now())
    delivery.deliver()
    notice.refresh_from_db()
    assert (notice.reason, notice.attempts) == ("unreachable", 2)
    settings.EMAIL_PORT, mailbox.answer = mailbox.port, b"250 ok"
    Notice.objects.update(due_at=timezone.now())
    delivery.deliver()
    assert len(mailbox.mails) == 1


def test_without_a_server_the_log_says_what_would_go(
    alice: Member, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.MAIL = False
    notice = _tell(alice)
    with caplog.at_level("INFO"):
        delivery.deliver()
    notice.refresh_from_db()
    assert (notice.state, notice.reason) == (NoticeState.SKIPPED, "no_mail_server")
    assert "80 % of a quota is used" in caplog.text
    assert "alice@" not in caplog.text


def test_a_closed_account_gets_nothing(alice: Member, mailbox: Mailbox) -> None:
    notice = _tell(alice)
    alice.user.is_active = False
    alice.user.save()
    delivery.deliver()
    notice.refresh_from_db()
    assert (notice.state, mailbox.mails) == (NoticeState.SKIPPED, [])


def test_who_has_left_hears_of_their_account_alone(bob: Member, mailbox: Mailbox) -> None:
    """A mail waits for up to a day, and the figures are the tenant's."""
    notice, own = _tell(bob), _tell(bob, "password.changed", at="2026-12-01T08:00:00+00:00")
    bob.remove(by="test")
    delivery.deliver()
    for each in (notice, own):
        each.refresh_from_db()
    assert (notice.state, notice.reason) == (NoticeState.SKIPPED, "left")
    assert own.state == NoticeState.SENT
    assert len(mailbox.mails) == 1


def test_what_ended_long_ago_is_forgotten(alice: Member, mailbox: Mailbox) -> None:
    ago = timezone.now() - outbox.KEPT - timedelta(days=1)
    row = {"user": alice.user, "event": "password.changed", "created_at": ago}
    Notice.objects.create(occasion="1", state=NoticeState.SENT, **row)
    waiting = Notice.objects.create(occasion="2", **row)
    outbox.forget_old()
    assert list(Notice.objects.all()) == [waiting]


def test_a_tenant_of_another_time_zone_has_its_clock(
    acme: Tenant, alice: Member, mailbox: Mailbox
) -> None:
    acme.change(by="test", time_zone="Asia/Shanghai")
    _tell(alice, "hold.approved", expires_at="2026-12-01T08:00:00+00:00")
    delivery.deliver()
    assert "2026-12-01 16:00 (Asia/Shanghai)" in _parts(mailbox.mails[0])[1]


def test_what_is_claimed_is_sent(
    alice: Member, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round that has lasted for its time leaves the rest to the next one, at once."""
    monkeypatch.setattr(delivery, "_BUSY_S", 0.0)
    notice = _tell(alice)
    delivery.deliver()
    notice.refresh_from_db()
    assert notice.attempts == len(notice.tries)
    assert notice.due_at <= timezone.now()


def test_a_mail_that_cannot_be_written_stops_no_other(
    alice: Member, bob: Member, mailbox: Mailbox
) -> None:
    User.objects.filter(pk=alice.user_id).update(email=f"alice@{'中' * 60}.example")
    alice.user.refresh_from_db()
    announce("password.changed", "p", tenant_id=None, people=[alice.user, bob.user])
    delivery.deliver()
    stuck, sent = Notice.objects.get(user=alice.user), Notice.objects.get(user=bob.user)
    assert (stuck.state, stuck.reason) == (NoticeState.WAITING, "fault")
    assert sent.state == NoticeState.SENT
