"""Presets: who sees them, who writes them, and what a conversation does with their settings."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from audit.erasure import erasers
from audit.models import Event
from inference import engines
from inference.chat import exchanges, history, prompt
from inference.chat.model_choices import choices
from inference.chat.presets import settings as chat_settings
from inference.chat.problems import ChatRefused
from inference.chat.prompt import Earlier
from inference.chat.protocol import ChatSettings, Send
from inference.engines.base import Engine, EngineConfig
from inference.models import Preset
from tenants.models import Member, Price, Team, Tenant
from tenants.roles import Profile, Role
from tests.inference.chat.attachments.uploads import sign_in
from tests.people import join

pytestmark = pytest.mark.django_db
PIRATE = {"system": "Talk like a pirate.", "temperature": 0.5}


@pytest.fixture
def acme() -> Tenant:
    return Tenant.open("acme", by="test")


@pytest.fixture
def alice(acme: Tenant) -> Member:
    return join(acme, "alice@acme.example", Role.OWNER)


@pytest.fixture
def bob(acme: Tenant) -> Member:
    return join(acme, "bob@acme.example")


def create(client: Client, name: str = "Pirate", level: str = "personal", **more: Any) -> Any:
    fields = {"name": name, "level": level, "settings": json.dumps(PIRATE), **more}
    return client.post("/chat/presets/", fields)


def names(client: Client) -> list[str]:
    return [each["name"] for each in client.get("/chat/presets/").json()]


def test_a_person_has_presets_of_their_own(alice: Member, bob: Member) -> None:
    client = sign_in(bob)
    made = create(client, description="Arr").json()
    assert (made["level"], made["settings"], made["editable"]) == ("personal", PIRATE, True)
    assert names(client) == ["Pirate"]
    assert names(sign_in(alice)) == []
    address = f"/chat/presets/{made['id']}/"
    changed = client.post(address, {"name": "Sailor", "settings": "{}"}).json()
    assert (changed["name"], changed["settings"]) == ("Sailor", {})
    for act in ("", "removal/"):
        assert sign_in(alice).post(address + act, {"name": "Mine"}).status_code == 404
    assert client.post(f"{address}removal/").status_code == 204
    assert not Preset.objects.exists()


def test_those_of_a_team_are_for_its_members(acme: Tenant, alice: Member, bob: Member) -> None:
    team = Team.form(acme, "research", by="test")
    owner, member = sign_in(alice), sign_in(bob)
    made = create(owner, level="team", team=str(team.pk)).json()
    assert (names(owner), names(member)) == ([], [])  # neither is in the team
    team.add(bob, by="test")
    (seen,) = member.get("/chat/presets/").json()
    assert (seen["id"], seen["team"], seen["editable"]) == (made["id"], "research", False)


def test_roles_decide_who_writes_for_others(alice: Member, bob: Member) -> None:
    refused = create(sign_in(bob), level="tenant")
    assert (refused.status_code, refused.json()["code"]) == (409, "preset_not_yours")
    made = create(sign_in(alice), level="tenant").json()
    address = f"/chat/presets/{made['id']}/"
    for act, fields in (("", {"name": "x"}), ("", {"is_default": "on"}), ("removal/", {})):
        answer = sign_in(bob).post(address + act, fields)
        assert answer.json()["code"] == "preset_not_yours"
    Tenant.objects.update(profile=Profile.MLPS)  # an owner administers security there, not prompts
    assert create(sign_in(alice), level="tenant").json()["code"] == "preset_not_yours"


def test_new_chats_begin_with_the_tenants_default(alice: Member, bob: Member) -> None:
    owner = sign_in(alice)
    first, second = (create(owner, name, "tenant").json()["id"] for name in ("B", "A"))
    for preset in (first, second):
        owner.post(f"/chat/presets/{preset}/", {"is_default": "on"})
    listed = sign_in(bob).get("/chat/presets/").json()
    assert [(each["name"], each["is_default"]) for each in listed] == [("A", True), ("B", False)]
    data = sign_in(bob).get("/chat/").context["data"]
    assert [each["name"] for each in data["presets"]] == ["A", "B"]


def test_another_tenant_sees_none_of_them(alice: Member) -> None:
    made = create(sign_in(alice), level="tenant").json()
    charlie = sign_in(join(Tenant.open("globex", by="test"), "charlie@globex.example", Role.OWNER))
    assert names(charlie) == []
    assert charlie.post(f"/chat/presets/{made['id']}/removal/").status_code == 404


def test_acts_are_on_record_without_the_words(alice: Member) -> None:
    client = sign_in(alice)
    made = create(client, level="tenant").json()
    client.post(f"/chat/presets/{made['id']}/", {"is_default": "on"})
    client.post(f"/chat/presets/{made['id']}/", {"name": "Sailor"})
    client.post(f"/chat/presets/{made['id']}/removal/")
    events = Event.objects.filter(action__startswith="preset:").order_by("id")
    assert [event.action for event in events] == [
        "preset:create",
        "preset:default",
        "preset:change",
        "preset:delete",
    ]
    for event in events:
        assert event.detail["preset"] == made["id"]
        assert event.actor == alice.actor
        assert "Pirate" not in json.dumps(event.detail)


def test_nothing_of_a_preset_is_stored_in_the_clear(alice: Member, bob: Member) -> None:
    create(sign_in(bob)), create(sign_in(alice), level="tenant")
    own, everybodys = Preset.objects.order_by("created_at")
    assert b"irate" not in bytes(own.ciphertext) + bytes(everybodys.ciphertext)
    assert own.data_key_id != everybodys.data_key_id  # the person's key, the tenant's key


def test_an_erasure_takes_a_persons_presets(alice: Member, bob: Member) -> None:
    create(sign_in(bob)), create(sign_in(alice), level="tenant")
    eraser, subject = erasers.find("conversations"), (bob.tenant_id, bob.subject_id)
    assert eraser
    assert eraser.erase(*subject)["presets"] == 1
    assert eraser.verify(*subject) == 0
    assert Preset.objects.count() == 1


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"temperature": 2.1}, "bad_temperature"),
        ({"temperature": "hot"}, "bad_temperature"),
        ({"top_p": -0.1}, "bad_top_p"),
        ({"max_tokens": 0}, "bad_max_tokens"),
        ({"seed": 0.5}, "bad_seed"),
        ({"stop": [""]}, "bad_stop"),
        ({"stop": ["x" * 101]}, "bad_stop"),
        ({"stop": ["x"] * 17}, "bad_stop"),
        ({"reasoning_effort": "huge"}, "bad_reasoning_effort"),
        ({"system": "x" * 20_001}, "bad_system"),
        ({"tools": []}, "invalid_message"),
    ],
)
def test_a_bad_parameter_is_refused_by_its_name(
    bob: Member, settings: dict[str, Any], code: str
) -> None:
    answer = create(sign_in(bob), settings=json.dumps(settings))
    assert (answer.status_code, answer.json()["code"]) == (409, code)


# In a conversation -------------------------------------------------------------------------------
def ask(member: Member, settings: ChatSettings | None = None) -> Any:
    return exchanges.put(member, Send("Hi", "mock", uuid4(), settings=settings), uuid4())


def test_a_conversation_begins_with_settings_and_changes_them(alice: Member, bob: Member) -> None:
    conversation = ask(bob, ChatSettings(system="Be brief.")).conversation
    assert chat_settings.settings_of(conversation).system == "Be brief."
    assert b"brief" not in bytes(conversation.settings_ciphertext)
    address, client = f"/chat/c/{conversation.id}/settings/", sign_in(bob)
    assert client.post(address, {"settings": json.dumps(PIRATE)}).status_code == 204
    opened = client.get(f"/chat/c/{conversation.id}/messages/").json()
    assert opened["settings"] == PIRATE
    refused = client.post(address, {"settings": json.dumps({"top_p": 7})})
    assert "Top p must be a number from 0 to 1" in refused.json()["text"]
    assert sign_in(alice).post(address, {"settings": "{}"}).status_code == 404


def engine(context: int = 4096) -> Engine:
    return Engine(EngineConfig("m", "openai", "http://x", "m", context_length=context))


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        (ChatSettings(system="x" * 20_001), "bad_system"),
        (ChatSettings(max_tokens=0), "bad_max_tokens"),
        (ChatSettings(stop=["x" * 101]), "bad_stop"),
    ],
)
def test_settings_of_a_new_conversation_are_checked_before_its_request_is_recorded(
    bob: Member, settings: ChatSettings, code: str
) -> None:
    with pytest.raises(ChatRefused) as refused:
        history.inquiry(bob, Send("Hi", "mock", uuid4(), settings=settings))
    assert refused.value.code == code


def test_settings_are_in_the_request() -> None:
    settings = ChatSettings("Be brief.", 0.0, max_tokens=50, stop=["END"], reasoning_effort="low")
    earlier = Earlier(settings=settings)
    body = prompt.fitted(earlier, "Hi", engine()).body
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert (body["temperature"], body["max_tokens"], body["stop"]) == (0.0, 50, ["END"])
    assert body["reasoning_effort"] == "low"
    assert not body.keys() & {"top_p", "seed"}


def test_a_system_prompt_takes_room_from_the_history() -> None:
    messages = [
        {"role": "user", "content": "a" * 4000},
        {"role": "assistant", "content": "b" * 4000},
    ]
    for system, left_out in (("", 0), ("x" * 6000, 2)):
        earlier = Earlier(messages, settings=ChatSettings(system))
        assert prompt.fitted(earlier, "Hi", engine()).left_out == left_out


# Models ------------------------------------------------------------------------------------------
@pytest.fixture
def served(settings: Settings) -> Iterator[None]:
    entry = {"kind": "openai", "url": "http://127.0.0.1:9/v1", "context_length": 4096}
    abilities = {"images": True, "tools": False}
    settings.ENGINES = {
        "near": {**entry, "capabilities": abilities},
        "far": {**entry, "hosted": True},
    }
    engines.forget()
    yield
    engines.forget()


def test_a_choice_says_what_a_model_can_do_and_costs(bob: Member, served: None) -> None:
    Price.set("near", Decimal("1.5"), 0, 3, by="test")
    near, far = choices(bob)
    assert (near.name, near.context, near.images, near.tools) == ("near", 4096, True, False)
    assert near.price
    assert (near.price.prompt, near.price.completion, far.price) == ("1.5", "3", None)
    assert (near.hosted, far.hosted, near.state) == (False, True, "ready")
    listed = sign_in(bob).get("/chat/models/").json()
    assert [each["name"] for each in listed] == ["near", "far"]
