"""Assistants in the console: written as JSON and by fields, reviewed, promoted, tried."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from audit.models import Event
from inference import engines
from inference.api.assistants import trying
from inference.api.assistants.trying import Trial
from inference.api.deferred import Refused
from inference.assistants.understanding import Prediction
from inference.models import Assistant
from tenants.models import Member, Tenant
from tests.console.conftest import SignIn
from tests.inference.assistants.rows import an_assistant, built, furnish
from tests.inference.assistants.shop import SHOP, SPEC_JSON

pytestmark = pytest.mark.django_db
LIST = "/console/t/acme/assistants/"


@pytest.fixture(autouse=True)
def _models(settings: Settings, acme: Tenant) -> Iterator[None]:
    furnish(acme)
    settings.ENGINES = {"minilm": {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}
    engines.forget()
    yield
    engines.forget()


@pytest.fixture
def assistant(bob: Member) -> Assistant:
    return an_assistant(bob.tenant, bob, by=bob.actor)


def text(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def content(**changes: Any) -> str:
    return json.dumps({**SPEC_JSON, **changes}, indent=1, ensure_ascii=False)


def test_one_is_written_as_json(bob: Member, sign_in: SignIn) -> None:
    client = sign_in(bob)
    assert "No assistant yet" in text(client, LIST)
    assert "opening_hours" in text(client, f"{LIST}addition/"), "an example to start from"
    answer = client.post(f"{LIST}addition/", {"name": "shop", "spec": content()})
    assistant = Assistant.objects.get()
    assert answer.headers["Location"] == f"{LIST}{assistant.pk}/"
    assert assistant.versions.get().spec == SHOP
    page = text(client, answer.headers["Location"])
    assert "Where is my order?" in page
    assert "find_order" in page


def test_faults_are_shown_with_their_lines(bob: Member, sign_in: SignIn) -> None:
    client = sign_in(bob)
    sent = content(embedding_model="gone")
    line = next(n for n, text in enumerate(sent.splitlines(), 1) if '"embedding_model"' in text)
    answer = client.post(f"{LIST}addition/", {"name": "shop", "spec": sent})
    assert f"Line {line}, embedding_model: There is no such model." in answer.content.decode()
    answer = client.post(f"{LIST}addition/", {"name": "shop", "spec": "{\n\n}}"})
    assert "Line 3" in answer.content.decode()
    assert not Assistant.objects.exists()


def test_a_name_that_no_database_takes_is_a_fault(bob: Member, sign_in: SignIn) -> None:
    sent = {"name": "shop", "spec": content(actions=["find_order", "find\0order"])}
    answer = sign_in(bob).post(f"{LIST}addition/", sent)
    assert "actions.1: A text is empty, or holds a NUL." in answer.content.decode()


def test_an_edit_is_a_version_of_what_was_seen(
    assistant: Assistant, bob: Member, sign_in: SignIn
) -> None:
    client, path = sign_in(bob), f"{LIST}{assistant.pk}/edition/"
    answer = client.post(path, {"seen": 1, "spec": content(tone="formal")})
    assert answer.headers["Location"] == f"{LIST}{assistant.pk}/?version=2"
    assert assistant.versions.get(number=2).spec.tone == "formal"
    answer = client.post(path, {"seen": 1, "spec": content()})
    assert "Version 2 has been written meanwhile" in answer.content.decode()


def test_an_intent_is_edited_by_fields(assistant: Assistant, bob: Member, sign_in: SignIn) -> None:
    client, path = sign_in(bob), f"{LIST}{assistant.pk}/intent/"
    page = text(client, f"{path}?name=track")
    assert "Where is my order?\nHas my parcel been sent?" in page
    fields = {
        "name": "track",
        "rule": "action",
        "action": "find_order",
        "length": "short",
        "title_en": "an order",
        "title_zh": "订单",
        "examples_en": "one\ntwo\n\nthree\nfour\nfour",
        "examples_zh": "一\n二\n三\n四",
        "reply_en": "It is {{status}}.",
        "reply_zh": "",
    }
    client.post(f"{path}?name=track", fields)
    intent = assistant.versions.get(number=2).spec.intents[0]
    assert intent.examples["en"] == ["one", "two", "three", "four"]
    assert intent.slots == SHOP.intents[0].slots, "they stay"
    assert intent.rule.reply == {"en": "It is {{status}}."}
    assert not intent.rule.confirm
    answer = client.post(path, {**fields, "name": "Bad name", "examples_en": "one"})
    page = answer.content.decode()
    assert "A name has a small letter" in page
    assert "Give at least 4 examples" in page
    assert client.get(f"{path}?name=gone").status_code == 404


def test_an_intent_that_another_person_changed_meanwhile_is_not_written_over(
    assistant: Assistant, bob: Member, sign_in: SignIn
) -> None:
    client, path = sign_in(bob), f"{LIST}{assistant.pk}/intent/?name=track"
    first, second = _shown(client, path), _shown(client, path)
    other = _shown(client, f"{LIST}{assistant.pk}/intent/?name=refund")
    client.post(path, {**first, "reply_en": "The first one's reply {{status}}."})
    answer = client.post(path, {**second, "length": "long"})
    assert "Somebody has changed it meanwhile" in answer.content.decode()
    assert assistant.versions.latest("number").number == 2
    assert "The first one" in assistant.versions.get(number=2).spec.intents[0].rule.reply["en"]
    client.post(f"{LIST}{assistant.pk}/intent/?name=refund", {**other, "length": "long"})
    assert assistant.versions.latest("number").number == 3, "another intent is no conflict"


def _shown(client: Client, path: str) -> dict[str, Any]:
    """Returns the values of the page's form."""
    form = client.get(path).context["form"]
    values = {field.name: field.value() for field in form}
    return {name: value for name, value in values.items() if value not in (None, False)}


def test_another_person_approves_and_it_answers(
    assistant: Assistant, alice: Member, bob: Member, sign_in: SignIn
) -> None:
    built(assistant)
    change, review = (f"{LIST}{assistant.pk}/versions/1/{page}/" for page in ("change", "review"))
    author, other = sign_in(bob), sign_in(alice)
    author.post(change, {"act": "submit"})
    assert author.post(review, {"act": "approve"}).status_code == 403
    other.post(review, {"act": "approve"})
    author.post(change, {"act": "promote"})
    assistant.refresh_from_db()
    assert assistant.live == 1
    page = text(author, f"{LIST}{assistant.pk}/")
    assert "New dialogues get this version." in page
    assert "How well it understands" in page
    author.post(f"{LIST}{assistant.pk}/switch/", {"act": "stop"})
    assistant.refresh_from_db()
    assert assistant.live is None
    page = author.post(change, {"act": "nonsense"}, follow=True).content.decode()
    assert "There is no such act." in page
    assert Event.objects.filter(action="assistant:promote").count() == 1


def test_what_is_not_possible_says_why(assistant: Assistant, bob: Member, sign_in: SignIn) -> None:
    client = sign_in(bob)
    path = f"{LIST}{assistant.pk}/versions/1/change/"
    page = client.post(path, {"act": "submit"}, follow=True).content.decode()
    assert "It is not built" in page
    page = client.post(path, {"act": "challenge", "share": "90"}, follow=True).content.decode()
    assert "50" in page


def test_the_progress_of_a_build_is_shown(
    assistant: Assistant, bob: Member, sign_in: SignIn
) -> None:
    client, path = sign_in(bob), f"{LIST}{assistant.pk}/versions/1/live/"
    assert 'value="0"' in text(client, path)
    version = assistant.versions.get()
    assert version.begin_build()
    version.fail_build("model_not_found")
    page = text(client, path)
    assert "The embedding model is not served" in page
    assert "hx-get" not in page, "nothing more to look for"


def test_a_sentence_is_tried(
    assistant: Assistant, bob: Member, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    built(assistant)
    client, path = sign_in(bob), f"{LIST}{assistant.pk}/versions/1/attempt/"
    trial = Trial([Prediction("track", 0.934), Prediction("refund", 0.05)], True, {"order": "AB-1"})
    monkeypatch.setattr(trying, "try_now", lambda version, caller, text: trial)
    page = client.post(path, {"text": "where is AB-1"}).content.decode()
    assert "93.4 %" in page
    assert "AB-1" in page

    def refuse(*_arguments: Any) -> Trial:
        raise Refused("model_not_found")

    monkeypatch.setattr(trying, "try_now", refuse)
    page = client.post(path, {"text": "where is AB-1"}).content.decode()
    assert "The embedding model is not served" in page


def test_those_of_another_tenant_are_not_there(
    assistant: Assistant, charlie: Member, sign_in: SignIn
) -> None:
    client = sign_in(charlie)
    assert client.get(f"/console/t/globex/assistants/{assistant.pk}/").status_code == 404
    assert client.get(f"{LIST}{assistant.pk}/").status_code in (403, 404)


def test_acts_need_a_recent_proof(
    assistant: Assistant,
    alice: Member,
    bob: Member,
    sign_in: SignIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("console.account.reauthentication.is_proven", lambda *_: False)
    for who, path in ((alice, "versions/1/review/"), (bob, "versions/1/change/"), (bob, "switch/")):
        answer = sign_in(who).post(f"{LIST}{assistant.pk}/{path}", {"act": "approve"})
        assert "proof" in answer.headers["Location"], path
