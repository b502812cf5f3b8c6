"""An action that an approved assistant calls: its URL and its confirmation need two people."""

import pytest
from django.core.exceptions import ValidationError

from audit.actions import Action
from audit.models import Event
from inference.actions import definitions
from inference.models import AssistantVersion, WebhookAction
from inference.models.assistants.assistant_version import VersionState
from tenants.models import Member, Tenant
from tenants.roles import Role
from tests.inference.actions.conftest import new_action
from tests.inference.assistants.rows import an_assistant
from tests.inference.assistants.shop import SHOP
from tests.inference.dialogues.rows import a_dialogue
from tests.people import join

pytestmark = pytest.mark.django_db
OLD, NEW = "https://shop.example.com/old", "https://shop.example.com/new"


@pytest.fixture
def alice(acme: Tenant) -> Member:
    return join(acme, "alice@acme.example", Role.OWNER)


@pytest.fixture
def bob(acme: Tenant) -> Member:
    return join(acme, "bob@acme.example", Role.MEMBER)


@pytest.fixture
def version(acme: Tenant, alice: Member) -> AssistantVersion:
    """Returns an approved version, of a spec that calls the action."""
    row = an_assistant(acme, alice).versions.get()
    row.state = VersionState.APPROVED
    row.save(update_fields=["state"])
    return row


@pytest.fixture
def action(acme: Tenant) -> WebhookAction:
    return new_action(acme, OLD, name=SHOP.actions[0], moves_money=True)[0]


def test_a_url_counts_once_another_person_has_approved_it(
    action: WebhookAction, version: AssistantVersion, alice: Member, bob: Member
) -> None:
    definitions.change(action, by=bob.actor, url=NEW, timeout_s=7)
    action.refresh_from_db()
    assert (action.url, action.timeout_s, action.proposal) == (OLD, 7, {"url": NEW})
    assert action.proposed_at
    with pytest.raises(ValidationError, match="another person"):
        action.approve_change(action.proposed_at, by=bob.actor)
    action.approve_change(action.proposed_at, by=alice.actor)
    action.refresh_from_db()
    assert (action.url, action.proposal, action.proposal_authors) == (NEW, None, [])
    event = Event.objects.get(action=Action.ACTION_APPROVE)
    assert (event.actor, event.detail["authors"]) == (alice.actor, [bob.actor])


def test_confirmations_are_taken_away_by_two_and_added_by_one(
    action: WebhookAction, version: AssistantVersion, bob: Member
) -> None:
    definitions.change(action, by=bob.actor, moves_money=False)
    action.refresh_from_db()
    assert (action.moves_money, action.proposal) == (True, {"moves_money": False})
    action.withdraw_change(by=bob.actor)
    WebhookAction.objects.update(moves_money=False)
    action.refresh_from_db()
    definitions.change(action, by=bob.actor, moves_money=True)
    assert (action.moves_money, action.proposal) == (True, None)


def test_who_adds_to_a_proposal_does_not_approve_it(
    action: WebhookAction, version: AssistantVersion, alice: Member, bob: Member
) -> None:
    definitions.change(action, by=bob.actor, url=NEW)
    seen = action.proposed_at
    assert seen
    definitions.change(action, by=alice.actor, moves_money=False)
    assert action.proposal == {"url": NEW, "moves_money": False}
    assert action.proposed_at
    with pytest.raises(ValidationError, match="You proposed"):
        action.approve_change(action.proposed_at, by=alice.actor)
    with pytest.raises(ValidationError, match="no longer proposed"):
        action.approve_change(seen, by="member:third")
    action.approve_change(action.proposed_at, by="member:third")
    assert (action.url, action.moves_money) == (NEW, False)


def test_a_removed_action_gets_no_successor_of_its_name(
    acme: Tenant, action: WebhookAction, version: AssistantVersion
) -> None:
    action.remove(by="test")
    with pytest.raises(ValidationError, match="take another name"):
        new_action(acme, NEW, name=SHOP.actions[0])
    version.state = VersionState.RETIRED
    version.save(update_fields=["state"])
    new_action(acme, NEW, name=SHOP.actions[0])


@pytest.mark.parametrize("state", [VersionState.DRAFT, VersionState.RETIRED])
def test_without_an_approved_version_one_person_is_enough(
    action: WebhookAction, version: AssistantVersion, state: VersionState
) -> None:
    version.state = state
    version.save(update_fields=["state"])
    definitions.change(action, by="member:bob", url=NEW)
    assert (action.url, action.proposal) == (NEW, None)


def test_a_retired_version_counts_while_it_goes_on_with_dialogues(
    acme: Tenant, action: WebhookAction, version: AssistantVersion
) -> None:
    version.state = VersionState.RETIRED
    version.save(update_fields=["state"])
    dialogue = a_dialogue(acme, "Where is my money?")
    dialogue.assistant_id, dialogue.version = version.assistant_id, version.number
    dialogue.save(update_fields=["assistant_id", "version"])
    definitions.change(action, by="member:bob", url=NEW)
    assert (action.url, action.proposal) == (OLD, {"url": NEW})
    dialogue.close(by="test", satisfaction=None, was_resolved=None)
    definitions.change(action, by="member:bob", url=NEW)
    assert action.url == NEW


def test_versions_of_other_tenants_do_not_count(
    action: WebhookAction, version: AssistantVersion, globex: Tenant
) -> None:
    row = new_action(globex, OLD, name=SHOP.actions[0])[0]
    definitions.change(row, by="member:eve", url=NEW)
    assert row.url == NEW
