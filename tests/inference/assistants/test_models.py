"""Assistants and their versions as rows: review by another person, promotion, shares, roll-back."""

from uuid import uuid4

import pytest
from django.core.exceptions import ValidationError

from audit.actions import Action
from audit.keys.keyring import Unreadable
from audit.models import Event
from inference.assistants.spec import packed
from inference.assistants.understanding import Classifier
from inference.models import Assistant, AssistantVersion
from inference.models.assistants.assistant_version import MOST_ATTEMPTS, BuildState, Written
from tenants.models import ApiKey, Tenant
from tests.inference.assistants.shop import SHOP

pytestmark = pytest.mark.django_db
ALICE, BOB = "member:alice", "member:bob"
CLASSIFIER = Classifier("minilm", ["track", "refund"], [[1.0], [-1.0]], [0.0, 0.0])


def written() -> Written:
    return Written(packed(SHOP), "minilm", 48)


@pytest.fixture
def key(acme: Tenant) -> ApiKey:
    return ApiKey.issue(acme, "shop", by="test")[0]


@pytest.fixture
def assistant(acme: Tenant, key: ApiKey) -> Assistant:
    return Assistant.create(acme, "shop", written(), by=ALICE, caller=key)


def built(version: AssistantVersion) -> AssistantVersion:
    assert version.begin_build()
    version.complete_build(CLASSIFIER, {"right": 0.9}, "v1")
    return version


def approved(assistant: Assistant, key: ApiKey) -> AssistantVersion:
    """Returns a new version, built by alice and approved by bob."""
    version = built(assistant.write(written(), by=ALICE, caller=key))
    version.submit(by=ALICE)
    version.approve(by=BOB)
    return version


def test_what_is_written_is_encrypted_and_bound_to_its_version(
    assistant: Assistant, key: ApiKey
) -> None:
    version = built(assistant.versions.get())
    assert version.spec == SHOP
    assert version.classifier == CLASSIFIER
    assert b"refund" not in bytes(version.ciphertext)
    assert version.classifier_ciphertext is not None
    assert b"refund" not in bytes(version.classifier_ciphertext)
    other = assistant.write(written(), by=ALICE, caller=key)
    other.ciphertext = version.ciphertext
    with pytest.raises(Unreadable):
        _ = other.spec


def test_a_name_is_taken_once_in_a_tenant(assistant: Assistant, key: ApiKey) -> None:
    with pytest.raises(ValidationError, match="taken"):
        Assistant.create(assistant.tenant, "shop", written(), by=ALICE, caller=key)
    with pytest.raises(ValidationError):
        Assistant.create(assistant.tenant, "Shop!", written(), by=ALICE, caller=key)


def test_another_person_than_its_authors_approves_a_built_version(assistant: Assistant) -> None:
    version = assistant.versions.get()
    with pytest.raises(ValidationError, match="not built"):
        version.submit(by=ALICE)
    built(version).submit(by=BOB)
    for author in (ALICE, BOB):
        with pytest.raises(ValidationError, match="another person"):
            version.approve(by=author)
    version.send_back("Too short.", by="member:carol")
    assert version.return_reason == "Too short."
    assert b"Too short" not in bytes(version.return_ciphertext or b"")
    version.submit(by=BOB)
    version.approve(by="member:carol")
    assert version.reviewed_by == "member:carol"


def test_a_key_does_not_hide_the_person_who_made_it(acme: Tenant) -> None:
    key, _text = ApiKey.issue(acme, "pipeline", by=ALICE)
    assistant = Assistant.create(acme, "shop", written(), by=key.actor, caller=key)
    version = built(assistant.versions.get())
    version.submit(by=key.actor)
    with pytest.raises(ValidationError, match="another person"):
        version.approve(by=ALICE)


def test_only_approved_versions_answer_and_the_one_before_can_again(
    assistant: Assistant, key: ApiKey
) -> None:
    with pytest.raises(ValidationError, match="approved"):
        assistant.promote(assistant.versions.get(), by=ALICE)
    first, second = approved(assistant, key), approved(assistant, key)
    assistant.promote(first, by=ALICE)
    assistant.promote(second, by=ALICE)
    with pytest.raises(ValidationError, match="already"):
        assistant.promote(second, by=ALICE)
    assistant.roll_back(by=ALICE)
    assert assistant.live == first.number
    with pytest.raises(ValidationError, match="No earlier"):
        assistant.roll_back(by=ALICE)
    serving = Assistant.objects.serving(assistant.tenant_id, "shop", "person")
    assert serving == first


def test_a_share_of_the_people_meets_the_challenger_and_always_the_same(
    assistant: Assistant, key: ApiKey
) -> None:
    first, second = approved(assistant, key), approved(assistant, key)
    with pytest.raises(ValidationError, match="promote one first"):
        assistant.challenge(second, 0.3, by=ALICE)
    assistant.promote(first, by=ALICE)
    for share in (0.0, 0.51):
        with pytest.raises(ValidationError):
            assistant.challenge(second, share, by=ALICE)
    assistant.challenge(second, 0.3, by=ALICE)
    people = [uuid4() for _person in range(300)]
    versions = {person: assistant.version_for(person) for person in people}
    assert 50 < list(versions.values()).count(second) < 130
    assert all(assistant.version_for(person) == version for person, version in versions.items())
    assistant.promote(second, by=ALICE)
    assert (assistant.challenger, assistant.challenger_share) == (None, 0.0)


def test_a_stopped_assistant_answers_no_new_dialogues(assistant: Assistant, key: ApiKey) -> None:
    version = approved(assistant, key)
    assistant.promote(version, by=ALICE)
    with pytest.raises(ValidationError, match="answers people"):
        version.retire(by=ALICE)
    assistant.stop(by=ALICE)
    assert Assistant.objects.serving(assistant.tenant_id, "shop", "person") is None
    version.retire(by=ALICE)
    with pytest.raises(ValidationError, match="stop it instead"):
        assistant.remove(by=ALICE)


def test_one_that_never_answered_is_removed(assistant: Assistant) -> None:
    assistant.remove(by=ALICE)
    assert not AssistantVersion.objects.exists()


def test_a_build_that_dies_is_due_again_but_not_for_ever(assistant: Assistant) -> None:
    version = assistant.versions.get()
    for _attempt in range(MOST_ATTEMPTS):
        AssistantVersion.objects.filter(pk=version.pk).update(due_at=version.created_at)
        version.refresh_from_db()
        assert version.begin_build()
        assert not AssistantVersion.objects.due().exists()
    version.note_progress(20)
    AssistantVersion.objects.filter(pk=version.pk).update(due_at=version.created_at)
    version.refresh_from_db()
    assert version.percent == 41
    assert not version.begin_build()
    assert (version.build, version.error_code) == (BuildState.FAILED, "interrupted")


def test_a_process_that_was_overtaken_changes_nothing(assistant: Assistant) -> None:
    late = assistant.versions.get()
    assert late.begin_build()
    AssistantVersion.objects.filter(pk=late.pk).update(due_at=late.created_at)
    quick = AssistantVersion.objects.get()
    assert quick.begin_build()
    late.complete_build(CLASSIFIER, {}, "v0")
    quick.refresh_from_db()
    assert quick.build == BuildState.BUILDING
    quick.complete_build(CLASSIFIER, {"right": 1.0}, "v1")
    assert quick.embedding_version == "v1"


def test_a_failed_build_can_be_asked_for_again(assistant: Assistant, key: ApiKey) -> None:
    version = assistant.versions.get()
    with pytest.raises(ValidationError, match="being built"):
        version.rebuild(by=ALICE, caller=key)
    assert version.begin_build()
    version.fail_build("model_not_found")
    version.rebuild(by=ALICE, caller=key)
    assert built(version).build == BuildState.BUILT


def test_all_of_it_is_on_record(assistant: Assistant, key: ApiKey) -> None:
    assistant.promote(approved(assistant, key), by=ALICE)
    actions = Event.objects.filter(action__startswith="assistant:").order_by("id")
    assert list(actions.values_list("action", flat=True)) == [
        Action.ASSISTANT_CREATE,
        Action.ASSISTANT_WRITE,
        Action.ASSISTANT_WRITE,
        Action.ASSISTANT_BUILD,
        Action.ASSISTANT_SUBMIT,
        Action.ASSISTANT_APPROVE,
        Action.ASSISTANT_PROMOTE,
    ]
