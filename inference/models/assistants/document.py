"""Documents of a knowledge base, and the passages that they are cut into."""

import uuid
from datetime import timedelta
from typing import Any, ClassVar, Self

from django.core.validators import URLValidator
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from inference.models.assistants.knowledge_base import KnowledgeBase
from tenants.models import ApiKey, Member, Tenant

LONGEST_PATH = 400
LONGEST_URL = 1_000
LEASE = timedelta(minutes=2)


class DocumentState(models.TextChoices):
    """The states of a document, in the order of its life."""

    UPLOADING = "uploading", _("Being uploaded")
    WAITING = "waiting", _("Waiting")
    EMBEDDING = "embedding", _("Being read")
    READY = "ready", _("Ready")
    FAILED = "failed", _("Failed")
    GONE = "gone", _("Deleted")  # or replaced: its rows go in the background


S = DocumentState
DUE = (S.WAITING, S.EMBEDDING)


class DocumentFormat(models.TextChoices):
    MARKDOWN = "markdown", _("Markdown")
    TEXT = "text", _("Text")
    HTML = "html", _("HTML")
    FAQ_CSV = "faq_csv", _("Questions and answers (CSV)")
    FAQ_JSONL = "faq_jsonl", _("Questions and answers (JSON lines)")


class DocumentQuerySet(models.QuerySet["Document"]):
    def present(self) -> Self:
        return self.exclude(state=S.GONE)

    def ready(self) -> Self:
        return self.filter(state=S.READY)

    def due_by(self, document: "Document") -> Self:
        """The document itself, while the process that read this row has its lease."""
        mine = {"pk": document.pk, "turn": document.turn, "embedded": document.embedded}
        return self.filter(state__in=DUE, **mine)

    def due(self) -> Self:
        """Those that wait to be read, or whose reader has died."""
        free = models.Q(leased_until=None) | models.Q(leased_until__lte=Now())
        return self.filter(free, state__in=DUE, due_at__lte=Now())


class Document(models.Model):
    """An upload: its name is that of a page or file, and unique among those that are ready.

    A new upload of a name is a document of its own. Once it is ready it takes the earlier one's
    place, in one commit. Its texts are under a key of its own: its id is the subject of that key.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    base = models.ForeignKey(KnowledgeBase, models.CASCADE, related_name="documents")
    name = models.CharField(max_length=LONGEST_PATH)
    url = models.CharField(
        max_length=LONGEST_URL, blank=True, validators=[URLValidator(["http", "https"])]
    )
    form = models.CharField(max_length=10, choices=DocumentFormat)
    state = models.CharField(max_length=10, choices=DocumentState, default=S.UPLOADING)
    problem = models.CharField(max_length=60, default="", blank=True)  # a code
    digest = models.BinaryField(default=bytes)  # keyed, of its content, once that is complete
    size = models.BigIntegerField(default=0)  # bytes, as uploaded
    passages = models.PositiveIntegerField(default=0)
    embedded = models.PositiveIntegerField(default=0)  # of these
    left_out = models.PositiveIntegerField(default=0)  # lines of an FAQ that are none
    api_key = models.ForeignKey(ApiKey, models.SET_NULL, null=True, related_name="+")
    member = models.ForeignKey(Member, models.SET_NULL, null=True, related_name="+")
    created_by = models.CharField(max_length=60)
    created_at = models.DateTimeField(auto_now_add=True)
    ready_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(default=timezone.now)
    leased_until = models.DateTimeField(null=True)  # a process reads it until then
    turn = models.PositiveIntegerField(default=0)  # how often a process took it up
    attempts = models.PositiveSmallIntegerField(default=0)  # of these, since the last commit

    objects: ClassVar[DocumentQuerySet] = DocumentQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["base", "name"],
                name="inference_document_name",
                condition=models.Q(state="ready"),
            )
        ]
        indexes = [
            models.Index(fields=["base", "-created_at"], name="document_base_created"),
            models.Index(
                "due_at",
                name="document_due",
                condition=models.Q(state__in=("uploading", "waiting", "embedding", "gone")),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_moving(self) -> bool:
        return self.state in (S.UPLOADING, *DUE)

    @property
    def percent(self) -> int:
        return 100 * self.embedded // self.passages if self.passages else 0

    def record(self, action: Action, by: str, **detail: Any) -> None:
        self.base.record(action, by, document=str(self.id), path=self.name, **detail)


class DocumentPiece(models.Model):
    """Bytes of a document as they came, encrypted."""

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    document = models.ForeignKey(Document, models.CASCADE, related_name="pieces", db_index=False)
    number = models.PositiveIntegerField()
    data_key_id = models.UUIDField()
    size = models.PositiveIntegerField()  # bytes in clear
    ciphertext = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint("document", "number", name="inference_documentpiece_once")
        ]

    def __str__(self) -> str:
        return f"{self.document_id} {self.number}"


class Passage(models.Model):
    """A piece of a document that answers are found in: its title path, its anchor and its text.

    They are encrypted together. What a question is compared with stands beside them: the turned
    vector in the column `embedding`, which `inference/sql/passages.sql` adds where PostgreSQL has
    the type, and the keyed hashes of the words in PassageWord.
    """

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    base = models.ForeignKey(KnowledgeBase, models.CASCADE, related_name="+", db_index=False)
    document = models.ForeignKey(Document, models.CASCADE, related_name="+", db_index=False)
    number = models.PositiveIntegerField()
    data_key_id = models.UUIDField()
    ciphertext = models.BinaryField()
    words = models.PositiveIntegerField()  # with repetitions
    dimensions = models.PositiveSmallIntegerField()  # of its vector

    class Meta:
        constraints = [models.UniqueConstraint("document", "number", name="inference_passage_once")]
        indexes = [models.Index(fields=["base"], name="passage_base")]

    def __str__(self) -> str:
        return f"{self.document_id} {self.number}"


class PassageWord(models.Model):
    """A word of a passage and its count. It is a keyed hash: no two bases have it alike.

    It is a table, and no array with an inverted index, because row security keeps PostgreSQL from
    such indexes: only operators that leak nothing, such as `=` of numbers, use one beside a policy.
    """

    pk = models.CompositePrimaryKey("passage_id", "word")
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    passage = models.ForeignKey(
        Passage, models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    word = models.BigIntegerField()
    count = models.PositiveSmallIntegerField()

    class Meta:
        indexes = [models.Index(fields=["word"], name="passageword_word")]

    def __str__(self) -> str:
        return f"{self.passage_id} {self.word}"
