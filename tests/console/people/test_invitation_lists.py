"""Many people are invited at once, from a pasted list or a CSV file."""

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from audit.actions import Action
from audit.models import Event
from console.people import invitations
from console.people.invitation_lists import MOST, Entry, decoded, entries
from tenants.models import Link, Member, Team
from tenants.models.link import Purpose
from tenants.roles import Role
from tests.console.conftest import PASSWORD, SignIn

INVITATIONS = "/console/t/acme/members/invitations/"
DEFAULTS = {"role": "member", "days": "7"}


@pytest.mark.unit
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a@x.io\n\nb@x.io\n", [Entry(1, "a@x.io"), Entry(3, "b@x.io")]),
        ("a@x.io; Grace <b@x.io>;", [Entry(1, "a@x.io"), Entry(1, "b@x.io")]),
        ("a@x.io, developer, Search", [Entry(1, "a@x.io", "developer", "Search")]),
        (
            "a@x.io\tadmin\nb@x.io\t\tSearch",
            [Entry(1, "a@x.io", "admin"), Entry(2, "b@x.io", "", "Search")],
        ),
        ('Team,Email\n"A, B",a@x.io', [Entry(2, "a@x.io", "", "A, B")]),
        ("邮箱,角色\na@x.io,成员", [Entry(2, "a@x.io", "成员")]),
        ("nobody", [Entry(1, "nobody")]),
    ],
)
def test_lists_are_read(text: str, expected: list[Entry]) -> None:
    assert entries(text) == expected


@pytest.mark.unit
@pytest.mark.parametrize("text", ["", " \n", "email,role\n", "a@x.io\n" * (MOST + 1)])
def test_empty_and_long_lists_are_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        entries(text)


@pytest.mark.unit
def test_files_of_table_programs_are_read() -> None:
    assert decoded("\ufeffemail,团队".encode()) == "email,团队"
    assert decoded("email,团队".encode("gb18030")) == "email,团队"


def test_a_list_is_previewed_invited_and_joins_its_team(alice: Member, sign_in: SignIn) -> None:
    client, team = sign_in(alice), Team.form(alice.tenant, "Search", by=alice.actor)
    text = "\n".join(f"p{n}@acme.example" for n in range(9)) + "\np9@acme.example,developer,Search"
    preview = client.post(INVITATIONS, {**DEFAULTS, "text": text}).content.decode()
    assert "Invite 10 people" in preview
    assert not Link.objects.exists()
    answer = client.post(INVITATIONS, {**DEFAULTS, "text": _list(preview), "invite": "yes"})
    links = re.findall(r'value="(http://[^"]+/welcome/[^"]+)"', answer.content.decode())
    assert len(links) == len(set(links)) == 10
    assert Event.objects.filter(action=Action.LINK_CREATE, actor=alice.actor).count() == 10
    form = {"name": "Nine", "password": PASSWORD, "again": PASSWORD}
    assert Client().post(urlsplit(links[9]).path, form).status_code == 302
    person = alice.tenant.members.get(user__email="p9@acme.example")
    assert person.role == Role.DEVELOPER
    assert team.memberships.get().member == person


def _list(page: str) -> str:
    """Returns what the preview's form sends."""
    found = re.search(r'name="text" value="([^"]+)"', page)
    assert found
    return found[1]


def test_the_page_says_that_links_are_mailed_too(
    alice: Member, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, form = sign_in(alice), {**DEFAULTS, "text": "g@acme.example", "invite": "yes"}
    assert "by mail" not in client.post(INVITATIONS, form).content.decode()
    monkeypatch.setattr(invitations, "mail_link", lambda _link: True)
    assert "also on their way by mail" in client.post(INVITATIONS, form).content.decode()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("nonsense", "This is not an email address."),
        ("bob@acme.example", "This person is a member already."),
        ("BOB@acme.example", "This person is a member already."),
        ("g@acme.example,emperor", "There is no role emperor."),
        ("g@acme.example,owner", "This role may do more than yours"),
        ("g@acme.example,,Nobodys", "There is no team Nobodys."),
        ("boss@acme.example", "An invitation into a role above yours waits"),
        ("A@acme.example", "This address is in the list twice."),
    ],
)
def test_each_wrong_line_says_why_and_the_others_are_invited(
    alice: Member, bob: Member, erin: Member, sign_in: SignIn, line: str, problem: str
) -> None:
    boss: dict[str, Any] = {
        "email": "boss@acme.example",
        "tenant": alice.tenant,
        "role": Role.OWNER,
    }
    Link.issue(Purpose.INVITATION, by=alice.actor, **boss)
    client = sign_in(erin)
    preview = client.post(INVITATIONS, {**DEFAULTS, "text": f"a@acme.example\n{line}"})
    page = preview.content.decode()
    assert problem in page
    assert "Invite 1 person" in page
    client.post(INVITATIONS, {**DEFAULTS, "text": _list(page), "invite": "yes"})
    assert set(Link.objects.values_list("email", flat=True)) == {
        "boss@acme.example",
        "a@acme.example",
    }


def test_a_list_with_a_wrong_line_invites_nobody_unseen(alice: Member, sign_in: SignIn) -> None:
    text = "a@acme.example\nnonsense"
    answer = sign_in(alice).post(INVITATIONS, {**DEFAULTS, "text": text, "invite": "yes"})
    assert "Preview" in answer.content.decode()
    assert not Link.objects.exists()


def test_a_second_invitation_replaces_the_first(alice: Member, sign_in: SignIn) -> None:
    first = Link.issue(
        Purpose.INVITATION,
        by=alice.actor,
        email="G@acme.example",
        tenant=alice.tenant,
        role=Role.ADMIN,
    )
    client, form = sign_in(alice), {**DEFAULTS, "text": "g@acme.example"}
    assert "Replaces the invitation that waits" in client.post(INVITATIONS, form).content.decode()
    client.post(INVITATIONS, {**form, "invite": "yes"})
    assert Link.objects.get().role == Role.MEMBER
    assert "no longer works" in Client().get(urlsplit(first).path).content.decode()


def test_a_file_is_a_list(alice: Member, sign_in: SignIn) -> None:
    file = SimpleUploadedFile("people.csv", b"email,role\ng@acme.example,Auditor\n")
    answer = sign_in(alice).post(INVITATIONS, {**DEFAULTS, "file": file})
    assert "g@acme.example,auditor," in answer.content.decode()


def test_developers_do_not_invite(bob: Member, sign_in: SignIn) -> None:
    assert sign_in(bob).get(INVITATIONS).status_code == 403
