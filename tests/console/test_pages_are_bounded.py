"""What a stranger can send to the pages is bounded in size, in shape and in number."""

import pytest

from config.pages.handler import MOST_BYTES, bounded
from tenants.models import Member
from tenants.models.member import LastOwner
from tenants.roles import Role


async def answered(body: bytes, query: bytes = b"", kind: bytes = b"") -> int:
    """The status that a page behind the bound answers; the page itself says 200."""
    sent = []
    pieces = [body[i : i + 65536] for i in range(0, len(body), 65536)] or [b""]
    messages = [{"type": "http.request", "body": p, "more_body": True} for p in pieces]
    messages[-1]["more_body"] = False

    async def receive() -> dict[str, object]:
        return messages.pop(0)

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    async def page(_scope: object, receive: object, send: object) -> None:
        got = await receive()  # type: ignore[operator]
        assert got["body"] == body
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]

    headers = [(b"content-type", kind)] if kind else []
    scope = {"type": "http", "path": "/login/", "query_string": query, "headers": headers}
    await bounded(page, scope, receive, send)
    return int(sent[0]["status"])  # type: ignore[call-overload, no-any-return]


@pytest.mark.unit
async def test_a_form_of_any_size_is_not_read() -> None:
    assert await answered(b"x" * 1000) == 200
    assert await answered(b"x" * (MOST_BYTES + 1)) == 413


@pytest.mark.unit
async def test_nul_bytes_are_refused() -> None:
    assert await answered(b"username=a%00b") == 400
    assert await answered(b"username=a\0b") == 400
    assert await answered(b"", b"tenant=%00") == 400


@pytest.mark.unit
async def test_a_file_may_have_the_characters_of_an_encoded_nul() -> None:
    kind = b"multipart/form-data; boundary=x"
    assert await answered(b"100%00 rows", kind=kind) == 200


@pytest.mark.django_db
def test_who_is_removed_loses_open_invitations(alice: Member) -> None:
    from tenants.models import Link, User
    from tenants.models.link import Purpose

    dave = alice.tenant.add_member(User.objects.create_user("dave@acme.test"), Role.ADMIN, by="t")
    Link.issue(
        Purpose.INVITATION, by="t", email="dave@acme.test", tenant=alice.tenant, role=Role.ADMIN
    )
    dave.remove(by=alice.actor)
    assert not Link.objects.usable().filter(tenant=alice.tenant).exists()
    with pytest.raises(LastOwner):
        alice.remove(by=alice.actor)
