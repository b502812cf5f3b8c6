"""The page of widget keys: a line to paste, origins to change, and an end at once."""

import re
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.test import Client

from inference.models import WidgetKey
from tenants.models import ApiKey, Member, Team, Tenant
from tests.console.conftest import SignIn
from tests.inference.api.dialogues import helpdesk

PAGE = "/console/t/acme/widget-keys/"
ORIGIN = "https://shop.example"


@pytest.fixture
def client(alice: Member, sign_in: SignIn) -> Client:
    return sign_in(alice)


@pytest.fixture
def key(acme: Tenant) -> ApiKey:
    return ApiKey.issue(acme, "shop", by="test")[0]


def made(client: Client, acme: Tenant, key: ApiKey, origins: str = ORIGIN) -> WidgetKey:
    assistant = acme.assistants.first() or helpdesk.serve(acme, key)
    form = {"name": "the shop", "assistant": assistant.pk, "api_key": key.pk, "origins": origins}
    answer = client.post(f"{PAGE}addition/", form)
    assert answer.status_code == 302, answer.content.decode()
    return WidgetKey.objects.latest("created_at")


def test_a_key_is_made_and_its_line_shown(client: Client, acme: Tenant, key: ApiKey) -> None:
    row = made(client, acme, key, f"{ORIGIN}\nhttps://b.example")
    page = client.get(PAGE).content.decode()
    assert re.search(rf"/static/widget/widget.js&quot; data-key=&quot;{row.text}&quot;", page)
    assert row.origins == ["https://b.example", ORIGIN]
    assert row.api_key == key
    assert "shop</td>" in page


@pytest.mark.parametrize("origins", ["", "shop.example", "https://shop.example/page", "*"])
def test_wrong_origins_are_explained(
    client: Client, acme: Tenant, key: ApiKey, origins: str
) -> None:
    assistant = helpdesk.serve(acme, key)
    form = {"name": "x", "assistant": assistant.pk, "api_key": key.pk, "origins": origins}
    answer = client.post(f"{PAGE}addition/", form)
    assert answer.status_code == 200
    assert "invalid-feedback" in answer.content.decode()
    assert not WidgetKey.objects.exists()


def test_a_key_that_has_been_rotated_is_for_no_page(
    client: Client, acme: Tenant, key: ApiKey
) -> None:
    """Its widget would end with its overlap."""
    assistant = helpdesk.serve(acme, key)
    key.rotate(by="test", overlap=timedelta(hours=1))
    form = {"name": "x", "assistant": assistant.pk, "api_key": key.pk, "origins": ORIGIN}
    answer = client.post(f"{PAGE}addition/", form)
    assert "Select a valid choice" in answer.content.decode()
    with pytest.raises(ValidationError, match="rotated already"):
        WidgetKey.create(acme, "x", assistant.pk, key, [ORIGIN], by="test")


def test_origins_are_changed(client: Client, acme: Tenant, key: ApiKey) -> None:
    row = made(client, acme, key)
    assert client.post(f"{PAGE}{row.pk}/change/", {"origins": "no"}).status_code == 200
    client.post(f"{PAGE}{row.pk}/change/", {"origins": "https://new.example"})
    row.refresh_from_db()
    assert row.origins == ["https://new.example"]


def test_a_key_beyond_the_persons_reach_is_for_none_of_their_pages(
    client: Client, acme: Tenant, bob: Member, key: ApiKey, sign_in: SignIn
) -> None:
    """They could use its restricted models, and its team's budget, without its text."""
    key.change(by="test", team=Team.form(acme, "risk", by="test"))
    row, bobs = made(client, acme, key), sign_in(bob)
    theirs = {"name": "mine", "api_key": key.pk, "origins": "https://bob.example"}
    assistant = {"assistant": row.assistant_id}
    page = bobs.post(f"{PAGE}addition/", {**theirs, **assistant}).content.decode()
    assert "This key may do more than your role." in page
    assert bobs.post(f"{PAGE}{row.pk}/change/", theirs).status_code == 403
    row.refresh_from_db()
    assert (WidgetKey.objects.get(), row.origins) == (row, [ORIGIN])


def test_what_was_entered_stays_beside_its_fault(client: Client, acme: Tenant, key: ApiKey) -> None:
    row = made(client, acme, key)
    entered = "https://new.example\nhttps://new.example/page"
    page = client.post(f"{PAGE}{row.pk}/change/", {"origins": entered}).content.decode()
    assert f">{entered}</textarea>" in page
    assert 'role="alert"' in page


def test_a_revoked_key_leaves_the_page(client: Client, acme: Tenant, key: ApiKey) -> None:
    row = made(client, acme, key)
    assert client.post(f"{PAGE}{row.pk}/revocation/").status_code == 302
    assert row.text not in client.get(PAGE).content.decode()
    assert client.post(f"{PAGE}{row.pk}/change/", {"origins": ORIGIN}).status_code == 404


def test_a_rotation_takes_the_widgets_along(client: Client, acme: Tenant, key: ApiKey) -> None:
    row = made(client, acme, key)
    fresh, _text = key.rotate(by="test", overlap=timedelta(0))
    row.refresh_from_db()
    assert row.api_key == fresh
    assert "revoked or expired" not in client.get(PAGE).content.decode()


def test_a_key_whose_api_key_is_revoked_says_so(client: Client, acme: Tenant, key: ApiKey) -> None:
    made(client, acme, key)
    key.revoke(by="test")
    assert "revoked or expired" in client.get(PAGE).content.decode()
