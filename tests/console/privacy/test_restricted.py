"""Whose data is restricted changes nothing in the console, the management API and the chat."""

from typing import Any
from uuid import UUID

import pytest

from audit.erasure import deletion, execution
from audit.keys.keyring import keyring
from audit.models import DeletionRequest
from inference.chat import conversations
from inference.models import Conversation
from tenants.models import ApiKey, Member, Tenant
from tests.console.conftest import SignIn

pytestmark = pytest.mark.django_db
SAID = "is being erased or is restricted"


@pytest.fixture
def restricted(alice: Member, erin: Member) -> Member:
    """An administrator."""
    conversations.start(erin, "a model", "a title")
    whose = erin.tenant_id, erin.subject_id
    deletion.ask(*whose, by=alice.actor, decides=True, mode="restrict")
    execution.work()
    keyring.close()
    return erin


def created(client: Any, **more: Any) -> Any:
    return client.post(
        "/api/v1/tenants/acme/keys/",
        {"name": "build", "scopes": ["inference"]},
        content_type="application/json",
        **more,
    )


def test_the_management_api_changes_nothing(restricted: Member, sign_in: SignIn) -> None:
    client = sign_in(restricted)
    refused = created(client)
    assert refused.status_code == 403
    assert refused.json()["type"].endswith(":restricted")
    assert SAID in refused.json()["detail"]
    assert client.patch("/api/v1/tenants/acme/").status_code == 403
    assert not ApiKey.objects.exists()
    assert client.get("/api/v1/tenants/acme/members/").status_code == 200


@pytest.mark.parametrize("path", ["deletion-requests/", "tenants/acme/deletion-requests/"])
@pytest.mark.parametrize(
    "headers", [{}, {"Idempotency-Key": "8e03978e-40d5-43e8-bc93-6894a57f9324"}]
)
def test_they_ask_for_erasure_over_the_api_all_the_same(
    restricted: Member, sign_in: SignIn, path: str, headers: dict[str, str]
) -> None:
    """A restriction keeps data from being used, not its person from having it erased."""
    client, json = sign_in(restricted), "application/json"
    for _ in range(2):
        sent = {"mode": "erase", "reason": "enough"}
        answer = client.post(f"/api/v1/{path}", sent, content_type=json, headers=headers)
        assert answer.status_code == 201, answer.content
    asked = DeletionRequest.objects.get(mode="erase")
    assert (asked.subject_id, asked.by_subject) == (restricted.subject_id, True)


def test_for_nobody_else_though(restricted: Member, bob: Member, sign_in: SignIn) -> None:
    sent = {"mode": "erase", "member": str(bob.pk)}
    answer = sign_in(restricted).post(
        "/api/v1/tenants/acme/deletion-requests/", sent, content_type="application/json"
    )
    assert answer.status_code == 403
    assert answer.json()["type"].endswith(":restricted")
    assert not DeletionRequest.objects.filter(mode="erase").exists()


def test_nor_does_a_key_whose_data_is_restricted(acme: Tenant, alice: Member, client: Any) -> None:
    scopes = ["management:read", "management:write"]
    key, text = ApiKey.issue(acme, "robot", by="test", scopes=scopes)
    deletion.ask(acme.id, key.subject_id, by=alice.actor, decides=True, mode="restrict")
    execution.work()
    assert created(client, headers={"Authorization": f"Bearer {text}"}).status_code in (401, 403)
    assert ApiKey.objects.count() == 1


def test_the_consoles_pages_change_nothing(restricted: Member, sign_in: SignIn) -> None:
    client = sign_in(restricted)
    assert client.get("/console/t/acme/keys/").status_code == 200
    refused = client.post("/console/t/acme/keys/", {"name": "build", "scopes": "inference"})
    assert refused.status_code == 403
    assert SAID in refused.content.decode()
    assert not ApiKey.objects.exists()


def test_their_own_data_is_still_theirs_to_erase(restricted: Member, sign_in: SignIn) -> None:
    client = sign_in(restricted)
    assert client.get("/account/data/").status_code == 200
    own = f"/account/data/{restricted.pk}/"
    assert client.post(f"{own}export/").status_code == 302
    assert client.post(f"{own}deletion/", {"mode": "erase"}).status_code == 302


def test_the_chat_says_so(restricted: Member, sign_in: SignIn) -> None:
    client, conversation = sign_in(restricted), Conversation.objects.get()
    for act in ("title", "deletion"):
        answer = client.post(f"{address(conversation.pk)}{act}/", {"title": "another"})
        assert (answer.status_code, answer.json()["code"]) == (409, "restricted")
        assert SAID in answer.json()["text"]
    assert Conversation.objects.count() == 1


def test_others_go_on(restricted: Member, alice: Member, sign_in: SignIn) -> None:
    assert created(sign_in(alice)).status_code == 201


def address(conversation: UUID) -> str:
    return f"/chat/c/{conversation}/"
