"""The inbox over HTTP: the list, a dialogue, acts on it, and who read what."""

import ast
from pathlib import Path
from uuid import uuid4

import pytest
from django.db import transaction
from django.test import Client

from audit.models import Event
from console.inbox import lines
from console.inbox.words import REASONS
from inference import assistants
from inference.dialogues import handing_over
from inference.models import ActionCall, CallState, Dialogue, DialogueStatus, Role
from tenants.models import Member, Tenant
from tenants.roles import Role as MemberRole
from tests.console.conftest import SignIn, join
from tests.console.inbox.rows import a_call
from tests.inference.dialogues.rows import a_dialogue, writes

pytestmark = pytest.mark.django_db
INBOX = "/console/t/acme/inbox/"


@pytest.fixture
def client(alice: Member, sign_in: SignIn) -> Client:
    return sign_in(alice)


@pytest.fixture
def waiting(acme: Tenant) -> Dialogue:
    dialogue = a_dialogue(acme, "I want a human")
    with transaction.atomic():
        handing_over.hand_over(dialogue, "asked", by="test")
    return dialogue


def body(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def post(client: Client, dialogue: Dialogue, verb: str, **fields: str) -> int:
    return client.post(f"{INBOX}{dialogue.pk}/{verb}/", fields).status_code


def test_the_list_has_the_longest_waiting_first_with_reasons(
    client: Client, acme: Tenant, waiting: Dialogue
) -> None:
    later = a_dialogue(acme, "Hello", person="customer 2")
    with transaction.atomic():
        handing_over.hand_over(later, "action_unknown", by="test")
    page = body(client, INBOX)
    assert page.index(str(waiting.pk)) < page.index(str(later.pk))
    assert "The person asked for a human" in page
    assert "Nobody knows whether an action was done" in page
    assert 'data-waiting="2"' in body(client, f"{INBOX}list/")


def reasons() -> set[str]:
    """Returns the codes with which the state machine hands over."""
    files = Path(assistants.__file__).parent.glob("*.py")
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text("utf-8")))]
    calls = [node for node in nodes if isinstance(node, ast.Call) and node.args]
    last = [
        call.args[-1]
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id in ("hand_over", "not_understood")
    ]
    return {str(code.value) for code in last if isinstance(code, ast.Constant)}


def test_every_reason_has_words() -> None:
    codes = reasons()
    assert {"asked", "not_understood", "not_confirmed"} <= codes
    assert codes <= REASONS.keys()


def test_a_full_list_has_ones_own_and_who_waits_before_what_others_have(
    client: Client, acme: Tenant, monkeypatch: pytest.MonkeyPatch, alice: Member
) -> None:
    monkeypatch.setattr(lines, "MOST", 2)
    dora = join(acme, "dora@acme.example", MemberRole.OWNER)
    theirs, waiting, too_late, own = [a_dialogue(acme, "Hello", person=str(n)) for n in range(4)]
    handing_over.take_over(theirs, dora)
    for dialogue in (waiting, too_late):
        with transaction.atomic():
            handing_over.hand_over(dialogue, "asked", by="test")
    handing_over.take_over(own, alice)
    page = body(client, f"{INBOX}list/")
    shown = [str(row.pk) in page for row in (theirs, waiting, too_late, own)]
    assert shown == [False, True, False, True]
    assert page.index(str(waiting.pk)) < page.index(str(own.pk))


def test_a_member_takes_answers_notes_and_gives_it_back(
    client: Client, waiting: Dialogue, alice: Member
) -> None:
    assert post(client, waiting, "taking") == 302
    assert post(client, waiting, "reply", text="Hello, I am Alice.") == 302
    assert post(client, waiting, "note", text="A loyal customer.") == 302
    page = body(client, f"{INBOX}{waiting.pk}/")
    for text in ("I want a human", "Hello, I am Alice.", "A loyal customer."):
        assert text in page
    assert post(client, waiting, "return") == 302
    waiting.refresh_from_db()
    roles = list(waiting.messages.order_by("number").values_list("role", flat=True))
    assert waiting.status == DialogueStatus.OPEN
    assert roles == [Role.PERSON, Role.HUMAN, Role.NOTE]


def test_a_script_that_sends_a_reply_again_sees_that_it_is_on_record_once(
    client: Client, waiting: Dialogue
) -> None:
    post(client, waiting, "taking")
    fields = {"text": "Hello", "client_id": str(uuid4())}
    for _ in range(2):
        address = f"{INBOX}{waiting.pk}/reply/"
        answer = client.post(address, fields, headers={"HX-Request": "true"})
        assert answer.status_code == 204
    assert waiting.messages.filter(role=Role.HUMAN).count() == 1


def test_a_reply_without_the_dialogue_is_refused_beside_its_field(
    client: Client, waiting: Dialogue
) -> None:
    answer = client.post(f"{INBOX}{waiting.pk}/reply/", {"text": "Hello"})
    assert answer.status_code == 422
    assert "take it over first" in answer.content.decode()


def test_what_was_cut_off_says_so(client: Client, acme: Tenant) -> None:
    dialogue = a_dialogue(acme, "Where is my order?")
    writes(dialogue, "Your order is")
    assert "The assistant is writing." in body(client, f"{INBOX}{dialogue.pk}/live/")
    post(client, dialogue, "taking")
    page = body(client, f"{INBOX}{dialogue.pk}/live/")
    assert "Your order is" in page
    assert "Cut off: a human took over." in page
    assert "The assistant is writing." not in page


def test_reading_is_on_the_trail_once_for_an_opened_dialogue(
    client: Client, acme: Tenant, waiting: Dialogue, alice: Member
) -> None:
    other = a_dialogue(acme, "Hello", person="customer 2")
    for row in (waiting, waiting, other):
        body(client, f"{INBOX}{row.pk}/")
        body(client, f"{INBOX}{row.pk}/live/")
    reads = Event.objects.filter(action="dialogue:read").order_by("id")
    assert [(e.actor, e.detail["dialogue"], e.subject_id) for e in reads] == [
        (alice.actor, waiting.public_id, waiting.subject_id),
        (alice.actor, other.public_id, other.subject_id),
    ]
    assert "I want a human" not in str([event.detail for event in reads])


def test_a_dialogue_is_given_to_a_member_who_may_answer(
    client: Client, waiting: Dialogue, acme: Tenant, alice: Member, bob: Member
) -> None:
    dora = join(acme, "dora@acme.example", MemberRole.OWNER)
    post(client, waiting, "taking")
    page = body(client, f"{INBOX}{waiting.pk}/")
    assert "dora@acme.example" in page
    assert "bob@acme.example" not in page
    assert post(client, waiting, "transfer", to=str(bob.pk)) == 200
    assert post(client, waiting, "transfer", to=str(dora.pk)) == 302
    waiting.refresh_from_db()
    assert waiting.taken_by == dora.actor


def test_a_member_resolves_it(client: Client, waiting: Dialogue) -> None:
    post(client, waiting, "taking")
    assert post(client, waiting, "resolution") == 302
    waiting.refresh_from_db()
    assert waiting.status == DialogueStatus.RESOLVED
    assert str(waiting.pk) not in body(client, INBOX)


def test_an_agent_sees_the_inbox_and_nothing_else(
    acme: Tenant, waiting: Dialogue, sign_in: SignIn
) -> None:
    agent = sign_in(join(acme, "agnes@acme.example", MemberRole.AGENT))
    assert agent.get("/")["Location"] == INBOX
    assert post(agent, waiting, "taking") == 302
    assert post(agent, waiting, "reply", text="Hello") == 302
    assert agent.get("/console/t/acme/").status_code == 403
    assert agent.get("/console/t/acme/actions/").status_code == 403


def test_others_tenants_dialogues_do_not_exist(client: Client, globex: Tenant) -> None:
    theirs = a_dialogue(globex, "Hello")
    assert client.get(f"{INBOX}{theirs.pk}/").status_code == 404
    assert post(client, theirs, "taking") == 404


def test_an_unknown_outcome_is_listed_until_a_member_settles_it(
    client: Client, acme: Tenant, alice: Member
) -> None:
    call = a_call(acme)
    a_call(acme, CallState.SUCCEEDED)
    assert "Nobody knows the outcome of 1 call of an action." in body(client, INBOX)
    assert str(call.pk) in body(client, f"{INBOX}calls/")
    answer = client.post(f"{INBOX}calls/{call.pk}/settlement/", {"done": "yes"})
    assert answer.status_code == 302
    call.refresh_from_db()
    assert (call.settled_as, call.settled_by) == ("done", alice.actor)
    assert not ActionCall.objects.to_settle().exists()
    assert "Every outcome is known" in body(client, f"{INBOX}calls/")


def test_the_texts_of_a_call_are_shown_and_the_reading_is_on_the_trail(
    client: Client, acme: Tenant
) -> None:
    call = a_call(acme)
    assert "A-1" in body(client, f"{INBOX}calls/{call.pk}/")
    assert Event.objects.filter(action="action:read", subject_id=call.subject_id).count() == 1


def test_the_page_speaks_chinese(client: Client, waiting: Dialogue) -> None:
    client.post("/i18n/setlang/", {"language": "zh-hans"})
    page = body(client, f"{INBOX}{waiting.pk}/")
    assert "接管" in page
    assert "Take over" not in page
