"""A second link locks what was written up to it; when the first was used stays known."""

from urllib.parse import urlsplit

from django.test import Client

from tenants.models import Link, Member, TextLock
from tenants.models.link import Purpose
from tests.console.account.written_texts import wrote


def use_a_link(maker: Member, whose: Member, password: str) -> None:
    url = Link.issue(Purpose.RESET, by=maker.actor, email=whose.user.email)
    Client().post(urlsplit(url).path, {"password": password, "again": password})


def test_a_second_link_locks_what_was_written_until_then(
    alice: Member, erin: Member, bob: Member
) -> None:
    use_a_link(erin, bob, "a second river, a second dam")
    first = TextLock.objects.get()
    later = wrote(bob)
    assert later.conversation.created_at > first.before
    use_a_link(alice, bob, "a third river, a third dam")
    second = TextLock.objects.get()
    assert (second.since, len(second.made_by)) == (first.since, 2)
    assert second.before > later.conversation.created_at
