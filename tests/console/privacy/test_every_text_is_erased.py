"""Every field of the data map with texts of people is some eraser's, or stays for a reason."""

from contextlib import suppress

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from audit.erasure import erasers, tombstones
from audit.keys.keyring import keyring
from console.compliance.personal import Data, by_class
from inference.models import Conversation
from tenants.models import Member

ERASED_BY = {  # field -> eraser
    "audit.Payload.ciphertext": "texts",
    "axes.AccessAttempt.get_data": "pseudonym",
    "axes.AccessAttempt.post_data": "pseudonym",
    "inference.Attachment.ciphertext": "conversations",
    "inference.Attachment.name_ciphertext": "conversations",
    "inference.AttachmentPiece.ciphertext": "conversations",
    "inference.Batch.metadata_ciphertext": "files",
    "inference.BatchLine.error_ciphertext": "files",
    "inference.Checkpoint.ciphertext": "requests",
    "inference.ConversationFolder.name_ciphertext": "conversations",
    "inference.Conversation.settings_ciphertext": "conversations",
    "inference.Conversation.title_ciphertext": "conversations",
    "inference.Preset.ciphertext": "conversations",
    "inference.DataSetChunk.ciphertext": "data_sets",
    "inference.Contest.ciphertext": "decisions",
    "inference.Decision.ciphertext": "decisions",
    "inference.ActionCall.answer_ciphertext": "action_calls",
    "inference.ActionCall.ciphertext": "action_calls",
    "inference.DecisionExplanation.ciphertext": "decisions",
    "inference.Review.ciphertext": "decisions",
    "inference.Dialogue.ciphertext": "dialogues",
    "inference.DialogueMessage.ciphertext": "dialogues",
    "inference.DialogueTurn.ciphertext": "dialogues",
    "inference.File.name_ciphertext": "files",
    "inference.FileChunk.ciphertext": "files",
    "inference.Job.ciphertext": "jobs",
    "inference.ConversationShare.ciphertext": "conversations",
    "inference.Message.ciphertext": "conversations",
    "inference.Message.rating_ciphertext": "conversations",
    "tenants.IdempotentRequest.body": "answers",
    "tenants.IdempotentRequest.ciphertext": "answers",
}
STAYS = {  # field -> why
    "audit.DeletionRequest.reason": "shows that the request was decided, and why",
    "audit.DeletionRequest.answer": "shows what the person was told",
    "audit.LegalHold.reason": "shows why a text was kept against the will of its person",
    "audit.LegalHold.release_reason": "shows why it could go after all",
    "inference.ConversationUse.reason": "says on what ground conversations may be trained on",
    "tenants.QuotaRaise.reason": "says what a budget is for; who asked is taken out of it",
}


@pytest.mark.unit
def test_every_field_with_texts_has_an_eraser_or_a_reason() -> None:
    """A new one fails here until it is erased, or somebody says why it is not."""
    assert set(by_class()[Data.CONTENT]) == ERASED_BY.keys() | STAYS.keys()
    assert not ERASED_BY.keys() & STAYS.keys()


@pytest.mark.parametrize(("field", "name"), ERASED_BY.items())
def test_the_eraser_goes_through_its_table(
    field: str, name: str, dave: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tombstones, "removes", lambda *_whose: True)
    key = keyring.of_subject_now(dave.tenant_id, dave.subject_id).key_id
    Conversation.objects.create(
        tenant=dave.tenant, member=dave, title_ciphertext=b"", data_key_id=key
    )
    eraser, whose = erasers.find(name), (dave.tenant_id, dave.subject_id)
    assert eraser
    table = apps.get_model(field.rpartition(".")[0])._meta.db_table
    with CaptureQueriesContext(connection) as asked:
        eraser.verify(*whose)
        with suppress(DatabaseError), transaction.atomic():  # texts go after their key alone
            eraser.erase(*whose)
    assert any(table in query["sql"] for query in asked.captured_queries)
