"""Dialogues of people with an assistant of a tenant.

All texts are encrypted under the key of the person.
"""

import uuid
from datetime import timedelta
from typing import Any, ClassVar, Self

import msgspec
from django.contrib.postgres.fields import ArrayField
from django.db import models, transaction
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.keys.keyring import Cipher, keyring
from audit.trail.record import act
from inference.models.assistants.widget_key import WidgetKey
from tenants.models import ApiKey, Person, Tenant
from tenants.models.model_changes import lock

LEASE = timedelta(seconds=10)  # of a turn that a process works on, renewed while it does
LONGEST_INTENT, MOST_INTENTS = 80, 20  # intents of a dialogue


class Channel(models.TextChoices):
    API = "api", _("API")
    WIDGET = "widget", _("Widget")


class DialogueStatus(models.TextChoices):
    OPEN = "open", _("With the assistant")
    WAITING = "waiting", _("Waits for a human")
    WITH_HUMAN = "with_human", _("With a human")
    RESOLVED = "resolved", _("Resolved")  # the question is answered; a message opens it again
    CLOSED = "closed", _("Closed")


class Role(models.TextChoices):
    PERSON = "person", _("Person")
    ASSISTANT = "assistant", _("Assistant")
    HUMAN = "human", _("Human")
    NOTE = "note", _("Note")  # of members for members: the person never sees it


class TurnStep(models.TextChoices):
    RECEIVED = "received", _("Received")
    UNDERSTOOD = "understood", _("Understood")
    ACTING = "acting", _("Acting")  # an action may have been called
    DECIDED = "decided", _("Decided")  # what is to be said is known
    ANSWERED = "answered", _("Answered")
    SUPERSEDED = "superseded", _("Superseded")  # a human took over, or it was closed
    FAILED = "failed", _("Failed")


HUMAN_HAS_IT = (DialogueStatus.WAITING, DialogueStatus.WITH_HUMAN)


class Source(msgspec.Struct, frozen=True, omit_defaults=True):
    """A passage that an answer cites."""

    id: str
    title: str
    url: str = ""


class Content(msgspec.Struct, frozen=True, omit_defaults=True):
    """The content of a message. Sentences of an answer come one after the other."""

    parts: list[str] = []
    sources: list[Source] = []

    @property
    def text(self) -> str:
        return "".join(self.parts)


class DialogueQuerySet(models.QuerySet["Dialogue"]):
    def of_key(self, api_key_id: uuid.UUID) -> Self:
        """Dialogues of this key, or of a key that it was rotated from or to, as with requests."""
        return self.filter(api_key__in=ApiKey.objects.readable_with(api_key_id))

    def newest_first(self) -> Self:
        return self.order_by("-changed_at")

    def live(self) -> Self:
        return self.exclude(status=DialogueStatus.CLOSED)


class Dialogue(models.Model):
    """A dialogue. It asks with the limits of its API key, also if a widget began it.

    The version of its assistant never changes: versions don't (`assistant_id` and `version` are
    bare, since a dialogue outlives them).
    """

    is_history = True  # outlives its key: tenants/personal_data/erasure.py

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="dialogues", db_index=False)
    api_key = models.ForeignKey(ApiKey, models.SET_NULL, null=True, related_name="+")
    widget_key = models.ForeignKey(WidgetKey, models.SET_NULL, null=True, related_name="+")
    person = models.ForeignKey(Person, models.CASCADE, related_name="dialogues", db_index=False)
    assistant_id = models.UUIDField()
    version = models.PositiveIntegerField()
    channel = models.CharField(max_length=8, choices=Channel)
    language = models.CharField(max_length=8)
    status = models.CharField(max_length=10, choices=DialogueStatus, default=DialogueStatus.OPEN)
    data_key_id = models.UUIDField(null=True)
    ciphertext = models.BinaryField(null=True)  # of the assistant's state, as JSON
    taken_by = models.CharField(max_length=60, default="")  # the member who has it
    taken_at = models.DateTimeField(null=True)
    messages_count = models.PositiveIntegerField(default=0)  # the number of the latest
    turns_count = models.PositiveIntegerField(default=0)
    satisfaction = models.PositiveSmallIntegerField(null=True)  # 1 to 5
    was_resolved = models.BooleanField(null=True)  # in the person's words
    # What its figures need without reading its messages (inference/dialogues/measures/):
    intents = ArrayField(
        models.CharField(max_length=LONGEST_INTENT), default=list, db_default=[], blank=True
    )
    answered_at = models.DateTimeField(null=True)  # None: the last question is open
    handed_over_at = models.DateTimeField(null=True)  # for the first time
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(default=timezone.now)
    closed_at = models.DateTimeField(null=True)

    objects: ClassVar[DialogueQuerySet] = DialogueQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        indexes = [
            models.Index(fields=["tenant", "-changed_at"], name="dialogue_tenant_changed"),
            models.Index(fields=["tenant", "-created_at"], name="dialogue_tenant_created"),
            models.Index(fields=["person", "-created_at"], name="dialogue_person"),
            models.Index(
                fields=["tenant", "changed_at"],
                name="dialogue_of_humans",
                condition=models.Q(status__in=("waiting", "with_human")),
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return f"dlg_{self.id.hex}"

    @property
    def subject_id(self) -> uuid.UUID:
        return self.person_id

    @property
    def actor(self) -> str:
        """Returns the assistant, as the trail writes it."""
        return f"assistant:{self.assistant_id}"

    @property
    def human_has_it(self) -> bool:
        return self.status in HUMAN_HAS_IT

    @property
    def cipher(self) -> Cipher:
        """Returns the person's key. Raises Barred of an erased or restricted person."""
        return keyring.of_subject_now(self.tenant_id, self.subject_id)

    # State of the assistant ----------------------------------------------------------------------
    @property
    def state(self) -> bytes:
        """Returns the assistant's state as JSON, b"" at first. Raises Unreadable."""
        if self.ciphertext is None or self.data_key_id is None:
            return b""
        return keyring.by_id_now(self.data_key_id).decrypt(bytes(self.ciphertext), self._aad)

    def encrypt_state(self, state: bytes) -> None:
        cipher = self.cipher
        self.data_key_id, self.ciphertext = cipher.key_id, cipher.encrypt(state, self._aad)

    @property
    def _aad(self) -> bytes:
        return b"inference_dialogue|%b|%b|state" % (self.tenant_id.bytes, self.id.bytes)

    # Messages ------------------------------------------------------------------------------------
    def add(self, role: Role, content: Content, **fields: Any) -> "DialogueMessage":
        """Add the next message. Runs in a transaction, with the dialogue locked. Raises Barred."""
        self.messages_count, self.changed_at = self.messages_count + 1, timezone.now()
        self.save(update_fields=["messages_count", "changed_at"])
        message = DialogueMessage(
            tenant_id=self.tenant_id, dialogue=self, number=self.messages_count, role=role, **fields
        )
        message.encrypt(content)
        message.save(force_insert=True)
        return message

    def note_answer(self, intent: str, is_answered: bool | None) -> None:
        """Note an answer for the figures. `is_answered`: nothing is open now; None: a courtesy."""
        if intent and intent not in self.intents and len(self.intents) < MOST_INTENTS:
            self.intents = [*self.intents, intent[:LONGEST_INTENT]]
        if is_answered is not None:
            self.answered_at = timezone.now() if is_answered else None
        self.save(update_fields=["intents", "answered_at"])

    def move(self, status: DialogueStatus, **fields: Any) -> None:
        """Change the status, and other fields with it. Runs in a transaction, locked."""
        self.status, self.changed_at = status, timezone.now()
        for name, value in fields.items():
            setattr(self, name, value)
        self.save(update_fields=["status", "changed_at", *fields])

    def close(self, *, by: str, satisfaction: int | None, was_resolved: bool | None) -> bool:
        """Close it, with the person's opinion. Returns False if it was closed before."""
        with transaction.atomic():
            lock(self)
            first = self.status != DialogueStatus.CLOSED
            opinion = {"satisfaction": satisfaction, "was_resolved": was_resolved}
            fields: dict[str, Any] = {k: v for k, v in opinion.items() if v is not None}
            self.move(DialogueStatus.CLOSED, closed_at=self.closed_at or timezone.now(), **fields)
            if first or fields:
                self.record(Action.DIALOGUE_CLOSE, by, **fields)
        return first

    def record(self, action: Action, by: str, **detail: Any) -> None:
        detail = {"dialogue": self.public_id, **detail}
        act(action, actor=by, tenant_id=self.tenant_id, subject_id=self.subject_id, detail=detail)


class DialogueMessage(models.Model):
    """A message. An answer whose turn is under way grows by its sentences until it is `whole`."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    dialogue = models.ForeignKey(Dialogue, models.CASCADE, related_name="messages", db_index=False)
    number = models.PositiveIntegerField()  # from 1
    role = models.CharField(max_length=10, choices=Role)
    author = models.CharField(max_length=60, default="")  # the member, of HUMAN and NOTE
    client_id = models.UUIDField(null=True)  # by which a person's or member's client sends it again
    data_key_id = models.UUIDField()
    ciphertext = models.BinaryField()
    whole = models.BooleanField(default=True)
    intent = models.CharField(max_length=LONGEST_INTENT, default="")
    step = models.CharField(max_length=12, default="")  # that an answer words: "ask", "say", ...
    worded_by = models.CharField(max_length=8, default="")  # "model" or "plain", of an answer
    completion_id = models.UUIDField(null=True)  # that worded it
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager["DialogueMessage"]]

    class Meta:
        constraints = [
            models.UniqueConstraint("dialogue", "number", name="inference_dialoguemessage_number"),
            models.UniqueConstraint(
                "dialogue", "client_id", name="inference_dialoguemessage_client"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.dialogue_id} {self.number}"

    def encrypt(self, content: Content) -> None:
        cipher = self.dialogue.cipher
        self.data_key_id = cipher.key_id
        self.ciphertext = cipher.encrypt(msgspec.json.encode(content), self._aad)

    @property
    def content(self) -> Content:
        """Raises Unreadable, MasterKeyUnavailable."""
        cipher = keyring.by_id_now(self.data_key_id)
        return msgspec.json.decode(cipher.decrypt(bytes(self.ciphertext), self._aad), type=Content)

    @property
    def _aad(self) -> bytes:
        ids = self.tenant_id.bytes, self.dialogue_id.bytes, self.id.bytes
        return b"inference_dialoguemessage|%b|%b|%b" % ids


class DialogueTurnQuerySet(models.QuerySet["DialogueTurn"]):
    def open(self) -> Self:
        return self.filter(ended_at=None)

    def due(self) -> Self:
        """Open ones that no living process works on."""
        return self.open().filter(leased_until__lte=Now())


class DialogueTurn(models.Model):
    """The assistant's work on one message. A dialogue has one open turn at most.

    Each step is durable before the next one begins, so that another process goes on where one
    died (inference/dialogues/running.py).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    dialogue = models.ForeignKey(Dialogue, models.CASCADE, related_name="turns", db_index=False)
    question = models.ForeignKey(DialogueMessage, models.CASCADE, related_name="turns")
    answer = models.ForeignKey(
        DialogueMessage, models.CASCADE, null=True, related_name="+", db_index=False
    )
    step = models.CharField(max_length=12, choices=TurnStep, default=TurnStep.RECEIVED)
    error_code = models.CharField(max_length=60, default="")
    data_key_id = models.UUIDField(null=True)
    ciphertext = models.BinaryField(null=True)  # of its progress, as JSON
    attempts = models.PositiveSmallIntegerField(default=0)
    lease = models.UUIDField(null=True)
    leased_until = models.DateTimeField(default=timezone.now)
    deadline = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)

    objects: ClassVar[DialogueTurnQuerySet] = DialogueTurnQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["dialogue"],
                name="inference_dialogueturn_one_open",
                condition=models.Q(ended_at=None),
            )
        ]
        indexes = [
            models.Index(fields=["dialogue", "created_at"], name="dialogueturn_dialogue"),
            models.Index(
                "leased_until", name="dialogueturn_due", condition=models.Q(ended_at=None)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.dialogue_id} {self.step}"

    @property
    def is_over(self) -> bool:
        return self.ended_at is not None

    def encrypt(self, progress: bytes) -> None:
        cipher = self.dialogue.cipher
        self.data_key_id, self.ciphertext = cipher.key_id, cipher.encrypt(progress, self._aad)

    @property
    def progress(self) -> bytes:
        """Returns what its steps came to, as JSON; b"" at first. Raises Unreadable."""
        if self.ciphertext is None or self.data_key_id is None:
            return b""
        return keyring.by_id_now(self.data_key_id).decrypt(bytes(self.ciphertext), self._aad)

    @property
    def _aad(self) -> bytes:
        ids = self.tenant_id.bytes, self.dialogue_id.bytes, self.id.bytes
        return b"inference_dialogueturn|%b|%b|%b" % ids
