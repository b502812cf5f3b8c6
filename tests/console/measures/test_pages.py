"""Figures of customer service in the console, and both versions of an assistant."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone, translation

from console.measures.comparison import sentence
from inference.dialogues.measures import report
from inference.dialogues.measures.comparison import Comparison, Measure, Sample
from inference.models import Assistant, DialogueHandOver
from inference.models.assistants.action_call import CallState
from tenants.models import Member, Tenant
from tenants.roles import Role
from tests.console.conftest import SignIn, join
from tests.inference.assistants.rows import an_assistant
from tests.inference.dialogues.measured import called, ended

pytestmark = pytest.mark.django_db
FIGURES = "/console/t/acme/assistants/figures/"
DIALOGUES = "/console/t/acme/assistants/dialogues/"


@pytest.fixture
def assistant(alice: Member) -> Assistant:
    """One with a live version and a challenger."""
    assistant = an_assistant(alice.tenant, alice, by=alice.actor)
    changes = {"live": 1, "challenger": 2, "challenger_share": 0.5}
    since = timezone.now() - timedelta(days=3)
    Assistant.objects.filter(pk=assistant.pk).update(**changes, challenged_at=since)
    return assistant


def text(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def links(page: str, beginning: str) -> list[str]:
    return [each.replace("&amp;", "&") for each in re.findall(f'href="({beginning}[^"]*)"', page)]


def test_without_dialogues_the_page_says_so(alice: Member, sign_in: SignIn) -> None:
    assert "No dialogues in this period" in text(sign_in(alice), FIGURES)


def test_every_figure_leads_to_its_dialogues(
    assistant: Assistant, alice: Member, sign_in: SignIn
) -> None:
    acme = alice.tenant
    good = ended(acme, assistant.pk, intents=["track"], satisfaction=5)
    handed = ended(acme, assistant.pk, version=2, handed_over_at=timezone.now(), language="zh")
    DialogueHandOver.objects.create(tenant=acme, dialogue=handed, reason="not_understood")
    called(good, CallState.SUCCEEDED)
    client = sign_in(alice)
    page = text(client, f"{FIGURES}?by=version&step=week")
    assert "50.0 %" in page
    assert "shop · 2" in page
    assert "The assistant did not understand the person" in page
    followed = set(links(page, DIALOGUES))
    assert len(followed) > 10
    counts = {link: text(client, link).count('class="moment"') for link in followed}
    behind = {link.partition("?")[2]: count for link, count in counts.items()}
    assert behind["outcome=resolved"] == behind["outcome=handed_over"] == 1
    assert behind["reason=not_understood"] == 1
    assert behind["action=find_order&call=done"] == 1
    assert behind["satisfaction=5"] == 1
    listed = text(client, f"{DIALOGUES}?outcome=handed_over")
    assert handed.public_id[:12] in listed
    assert good.public_id[:12] not in listed


def test_texts_are_behind_the_right_to_answer_alone(
    assistant: Assistant, alice: Member, bob: Member, sign_in: SignIn
) -> None:
    dialogue = ended(alice.tenant, assistant.pk)
    inbox = f"/console/t/acme/inbox/{dialogue.pk}/"
    assert inbox in text(sign_in(alice), DIALOGUES)
    seen = text(sign_in(bob), DIALOGUES)
    assert dialogue.public_id[:12] in seen
    assert inbox not in seen
    agent = join(alice.tenant, "agent@acme.example", Role.AGENT)
    assert sign_in(agent).get(FIGURES).status_code == 403


def test_a_stranger_sees_nothing_of_it(
    assistant: Assistant, charlie: Member, sign_in: SignIn
) -> None:
    ended(assistant.tenant, assistant.pk)
    client = sign_in(charlie)
    assert client.get(FIGURES).status_code == 404
    page = text(client, "/console/t/globex/assistants/figures/")
    assert "No dialogues in this period" in page
    path = f"/console/t/globex/assistants/{assistant.pk}/comparison/"
    assert client.get(path).status_code == 404


def test_wrong_filters_and_too_many_dialogues_are_told(
    acme: Tenant, alice: Member, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = sign_in(alice)
    page = text(client, f"{FIGURES}?range=custom&first=2026-11-02&last=2026-11-01")
    assert "This day is before the first one." in page
    assert "No dialogue matches these filters" in text(client, f"{DIALOGUES}?version=x")
    monkeypatch.setattr(report, "MOST_DIALOGUES", 0)
    ended(acme)
    assert "choose a shorter one" in text(client, FIGURES)


def test_both_versions_are_compared_and_the_challenger_is_ended_from_there(
    assistant: Assistant, alice: Member, sign_in: SignIn
) -> None:
    client, path = sign_in(alice), f"/console/t/acme/assistants/{assistant.pk}/comparison/"
    for number in range(60):
        version, solved = 1 + number % 2, 60 if number % 2 or number < 20 else None
        person = f"customer {number}"
        ended(
            assistant.tenant,
            assistant.pk,
            person=person,
            version=version,
            resolved_after_s=solved,
        )
    page = text(client, path)
    assert "Version 2 resolves 66.7 points more: more than chance" in page
    assert "33.3 %" in page
    assert "too few people" in page, "nobody was asked how satisfied they are"
    (switch,) = re.findall(r'action="([^"]+/switch/)"', page)
    client.post(switch, {"act": "end_challenge"})
    assert Assistant.objects.get().challenger is None
    assert "No challenger answers" in text(client, path)


@pytest.mark.parametrize(
    ("live", "challenger", "words"),
    [
        ((3, 5), (5, 5), "版本的人数还太少"),
        ((60, 100), (62, 100), "可能只是偶然"),
        ((60, 100), (90, 100), "多 30.0"),
        ((90, 100), (60, 100), "少 30.0"),
    ],
)
def test_the_sentence_is_there_in_chinese(
    live: tuple[int, int], challenger: tuple[int, int], words: str
) -> None:
    samples = [Sample(count, right / count) for right, count in (live, challenger)]
    result = Comparison(timezone.now(), 1, 2, [Measure("resolved", 1, *samples)])
    with translation.override("zh-hans"):
        assert words in sentence(result)
