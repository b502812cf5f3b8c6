"""An object of each kind that has an address, with the tenant's secret word in it."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from django.utils import timezone

from audit.actions import Action
from audit.exports import export_file, trail_export
from audit.keys.keyring import keyring
from audit.models import (
    DataKey,
    DeletionRequest,
    ErasureStep,
    Event,
    Export,
    KeyRotation,
    LegalHold,
)
from audit.retention import legal_hold
from audit.trail.partitions import erase_texts
from audit.trail.record import act
from console.isolation import sample_assistant, sample_decision, sample_response
from inference.actions import definitions
from inference.batch.file_store import FileOwner, FileWriter
from inference.chat import conversations
from inference.chat.attachments import uploading as attaching
from inference.chat.collection import folders, sharing
from inference.chat.presets import storing
from inference.chat.presets.storing import PresetContent
from inference.data_sets import uploading
from inference.data_sets.chunks import RowWriter
from inference.data_sets.rows import Row
from inference.decisions.evaluation.report import Labelled, build
from inference.decisions.spec import PolicySpec, Thresholds, packed
from inference.evaluation.content import Content as Tasks
from inference.evaluation.content import Item, Kind
from inference.knowledge.encryption import encrypt_piece
from inference.model_registry import uploading as model_uploading
from inference.model_registry.registering import register
from inference.models import (
    ActionCall,
    Adapter,
    Attachment,
    Audience,
    Author,
    Batch,
    BatchState,
    Channel,
    Completion,
    Contest,
    Conversation,
    ConversationFolder,
    DataSet,
    DataSetFormat,
    DataSetNotice,
    DataSetNoticeKind,
    DataSetState,
    DataSetVersion,
    Decision,
    DecisionPolicy,
    Dialogue,
    Document,
    DocumentPiece,
    Evaluation,
    EvaluationState,
    FilePurpose,
    Job,
    JobCheckpoint,
    JobKind,
    JobState,
    KnowledgeBase,
    Message,
    ModelAlias,
    ModelFile,
    Passage,
    PassageWord,
    PolicyEvaluation,
    Preset,
    PresetLevel,
    PromptTemplate,
    State,
    TaskSet,
    Usage,
    UsageDay,
    UsageHour,
    VersionKind,
    WidgetKey,
)
from inference.models import Role as Speaker
from inference.models.assistants.dialogue import Content as Words
from inference.models.decisions.policy_version import Written
from inference.templating.content import Content
from inference.text_extraction.wire import Extracted
from tenants import model_access
from tenants.models import (
    ApiKey,
    CacheRule,
    Link,
    Member,
    Notice,
    NoticeState,
    NoticeTarget,
    Person,
    Quota,
    QuotaRaise,
    Reconciliation,
    Refusal,
    TargetKind,
    Team,
    Tenant,
    User,
)
from tenants.models.link import Purpose
from tenants.models.refusal import RefusedBy
from tenants.roles import Role

BY = "command:isolation"
UNITS = ("requests", "tokens", "cost")
_KEPT = {"hold"}
_number = count(1)


class Objects:
    def __init__(self, tenant: Tenant, secret: str) -> None:
        self._tenant, self._secret = tenant, secret
        self.asked_with: ApiKey | None = None
        self._standing: dict[str, Any] = {}
        self._team_beside: Team | None = None  # made for the same address
        self._job_beside: Any = None
        self._base_beside: Any = None
        self._kinds: dict[str, Callable[[], Any]] = {
            "key": self._key,
            "team": self._team,
            "member": self._member,
            "link": self._link,
            "invitation": self._link,
            "quota": self._quota,
            "quota_raise": self._raise,
            "reconciliation": self._reconciliation,
            "rotation": self._rotation,
            "refusal": self._refusal,
            "event": self._event,
            "receipt": self._receipt,
            "audit_export": self._export,
            "hold": self._hold,
            "deletion": self._deletion,
            "deletion_request": self._deletion,
            "completion": self._completion,
            "response": self._response,
            "model": self._restricted,
            "template": self._template,
            "policy": self._policy,
            "assistant": self._assistant,
            "adapter": self._adapter,
            "alias": self._alias,
            "dialogue": self._dialogue,
            "widget_key": self._widget_key,
            "action": self._webhook_action,
            "call": self._action_call,
            "target": self._notice_target,
            "notice": self._notice,
            "task_set": self._task_set,
            "evaluation": self._evaluation,
            "policy_evaluation": self._policy_evaluation,
            "model_version": self._model_version,
            "model_file": self._model_file,
            "rule": self._rule,
            "file": self._file,
            "batch": self._batch,
            "job": self._job,
            "checkpoint": self._checkpoint,
            "data_set": self._data_set,
            "knowledge_base": self._knowledge_base,
            "document": self._document,
            "decision": self._decision,
            "person": self._person,
            "review": self._review,
            "contest": self._contest,
        }

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(self._kinds)

    def furnish(self) -> None:
        """Make an object of each kind, and the rows behind the usage figures."""
        self._standing = {kind: make() for kind, make in self._kinds.items()}
        for table in (UsageHour, UsageDay):
            self._rolled_up(table)

    def begin_address(self) -> None:
        """Forget the objects that an earlier address named, which may be deleted."""
        self._team_beside = self._job_beside = self._base_beside = None

    def standing(self, kind: str) -> Any:
        """Returns the id of the object that is there from the beginning."""
        return self._standing[kind]

    def fresh(self, kind: str) -> Any:
        """Returns the id of a new object, for acts that use one up. Of holds there is only one."""
        return self._standing[kind] if kind in _KEPT else self._kinds[kind]()

    def conversation(self, member: Member) -> Any:
        row = Conversation.objects.filter(member_id=member.pk).first()
        return (row or conversations.start(member, "model", self._secret)).id

    def folder(self, member: Member) -> Any:
        row = folders.of_member(member).first()
        return (row or folders.create(member, self._secret)).id

    def share(self, member: Member) -> Any:
        row = sharing.of_member(member).first()
        conversation = Conversation.objects.get(pk=self.conversation(member))
        return (row or sharing.share(conversation, Audience.MEMBERS, 1)[0]).pk

    def message(self, member: Member) -> Any:
        conversation = Conversation.objects.get(pk=self.conversation(member))
        answers = conversation.messages.filter(author=Author.ASSISTANT)
        return (answers.first() or self._answer(conversation)).pk

    def _answer(self, conversation: Conversation) -> Message:
        return Message.objects.create(
            tenant=self._tenant,
            conversation=conversation,
            author=Author.ASSISTANT,
            data_key_id=conversation.data_key_id,
            ciphertext=b"of another place",
            created_at=timezone.now(),
        )

    def preset(self, member: Member) -> Any:
        row = Preset.objects.filter(member_id=member.pk).first()
        content = PresetContent(self._secret)
        return (row or storing.create(member, PresetLevel.PERSONAL, content)).pk

    def attachment(self, member: Member) -> Any:
        row = Attachment.objects.unsent().readable().filter(member_id=member.pk).first()
        if row is None:
            row = attaching.begin(member, f"{self._secret}.txt", len(self._secret))
            attaching.store(row, Extracted(self._secret))
        return row.pk

    def upload(self, member: Member) -> Any:
        owner = FileOwner(self._tenant.pk, member.subject_id, None, BY)
        row = model_uploading.of_person(owner.tenant_id, owner.subject_id).first()
        return (row or model_uploading.begin(owner, self._secret)).pk

    def clear(self) -> None:
        tenant = self._tenant.id
        # An erasure that goes on meanwhile would add steps to what is deleted here.
        list(DeletionRequest.objects.filter(tenant_id=tenant).select_for_update())
        # A rotation locks keys in this order, then its own row: any other would be a deadlock.
        order = DataKey.objects.filter(tenant_id=tenant).order_by("subject_id", "version")
        keys = list(order.select_for_update())
        for hold in LegalHold.objects.filter(tenant_id=tenant, released_at=None):
            _release(hold)
        for rows in (
            Export,
            ErasureStep,
            DeletionRequest,
            KeyRotation,
            Usage,
            UsageHour,
            UsageDay,
            Completion,
            Attachment,
            Preset,
            Conversation,
            ConversationFolder,
        ):
            rows.objects.filter(tenant_id=tenant).delete()
        for key in keys:
            key.delete()
            keyring.forget(key.id)
        erase_texts(key.id for key in keys)

    def _new_name(self) -> str:
        return f"{self._secret} {next(_number)}"

    def _key(self) -> Any:
        return ApiKey.issue(self._tenant, self._new_name(), by=BY)[0].id

    def _member(self) -> Any:
        """Make a member, in the team of the same address if there is one."""
        user = User.objects.create_user(f"m{next(_number)}@{self._secret}.invalid")
        member = self._tenant.add_member(user, Role.MEMBER, by=BY)
        if self._team_beside:
            self._team_beside.add(member, by=BY)
        return member.id

    def _team(self) -> Any:
        self._team_beside = Team.form(self._tenant, self._new_name(), by=BY)
        return self._team_beside.id

    def _person(self) -> Any:
        return Person.objects.of(self._tenant.id, self._new_name()).pk

    def _link(self) -> Any:
        email = f"l{next(_number)}@{self._secret}.invalid"
        Link.issue(Purpose.INVITATION, by=BY, email=email, tenant=self._tenant, role=Role.MEMBER)
        return Link.objects.get(email=email).id

    def _quota(self) -> Any:
        model = self._new_name()
        quota = Quota.set(
            self._tenant, unit="tokens", window="day", limit=10**9, model=model, by=BY
        )
        return quota.id

    def _raise(self) -> Any:
        return QuotaRaise.objects.create(
            tenant=self._tenant,
            quota_id=self._quota(),
            amount=1,
            reason=self._new_name(),
            expires_at=timezone.now() + timedelta(hours=1),
        ).id

    def _refusal(self) -> Any:
        now = timezone.now()
        moments = dict.fromkeys(("minute", "first_at", "last_at", "frees_at"), now)
        return Refusal.objects.create(
            tenant=self._tenant,
            actor=BY,
            tier=RefusedBy.RATE,
            model=self._secret,
            limit=1,
            used=1,
            **moments,
        ).id

    def _event(self) -> Any:
        act(Action.TENANT_CHANGE, actor=BY, tenant_id=self._tenant.id, detail={"x": self._secret})
        return Event.objects.of_tenant(self._tenant.id).latest("id").id

    def _receipt(self) -> Any:
        """Make the event of a request, whose id is the receipt's."""
        return Event.objects.create(
            at=timezone.now(),
            action=Action.COMPLETION_RECEIVED,
            actor=BY,
            tenant_id=self._tenant.id,
            request_id=uuid4(),
            model=self._secret,
        ).request_id

    def _export(self) -> Any:
        return Export.objects.create(
            tenant_id=self._tenant.id,
            kind=trail_export.KIND,
            state=export_file.READY,
            actor=BY,
            asked={"form": "csv", "model": self._secret},
            expires_at=timezone.now() + timedelta(hours=1),
        ).id

    def _hold(self) -> Any:
        """Place a hold on nobody's texts, so that it does not delay the deletion request."""
        ends = timezone.now() + timedelta(hours=1)
        hold = legal_hold.request(
            self._tenant.id, by=BY, reason=self._new_name(), expires_at=ends, subject_id=uuid4()
        )
        return hold.id

    def _deletion(self) -> Any:
        now = timezone.now()
        return DeletionRequest.objects.create(
            tenant_id=self._tenant.id,
            subject_id=uuid4(),
            reason=self._secret,
            requested_by=BY,
            requested_at=now,
            due_at=now + timedelta(hours=72),
        ).id

    def _completion(self) -> Any:
        """Make a request with the key that the walk uses: no other key may read its stream."""
        now = timezone.now()
        same = {"tenant": self._tenant, "model": self._secret, "created_at": now}
        completion = Completion.objects.create(
            api_key=self.asked_with,
            route=self._secret,
            stream=True,
            state=State.DONE,
            settled_at=now,
            **same,
        )
        figures = dict.fromkeys(("prompt_tokens", "completion_tokens", "duration_ms"), 1)
        Usage.objects.create(completion=completion, finish_reason="stop", **same, **figures)
        return completion.id

    def _response(self) -> Any:
        """Store a response of the key that the walk uses."""
        return sample_response.of_completion(self._completion(), self._owner(), self._secret)

    def _decision(self) -> Any:
        """Decide for the key that the walk uses."""
        assert self.asked_with
        key, number = self.asked_with.pk, next(_number)
        return sample_decision.made(self._tenant, key, self._secret, number, by=BY)

    def _review(self) -> Any:
        return self._contested().review_id

    def _contest(self) -> Any:
        return self._contested().pk

    def _contested(self) -> Contest:
        decision = Decision.objects.get(pk=self._decision())
        return Contest.begin(decision, self._secret, by=BY)

    def _file(self) -> Any:
        """Store a file with the key that the walk uses."""
        writer = FileWriter(self._owner(), FilePurpose.BATCH, self._secret)
        writer.write(self._secret.encode())
        return writer.finish().pk

    def _batch(self) -> Any:
        """Make a batch in progress that nobody drives."""
        owner, expires_at = self._owner(), timezone.now() + timedelta(hours=1)
        key = keyring.of_subject_now(owner.tenant_id, owner.subject_id)
        return Batch.objects.create(
            tenant=self._tenant,
            api_key_id=owner.api_key_id,
            subject_id=owner.subject_id,
            data_key_id=key.key_id,
            endpoint=self._secret,
            input_file_id=uuid4(),
            state=BatchState.IN_PROGRESS,
            expires_at=expires_at,
        ).pk

    def _job(self) -> Any:
        """Make a queued job that nobody drives."""
        owner = self._owner()
        key = keyring.of_subject_now(owner.tenant_id, owner.subject_id)
        self._job_beside = Job.objects.create(
            tenant=self._tenant,
            api_key_id=owner.api_key_id,
            subject_id=owner.subject_id,
            data_key_id=key.key_id,
            actor=BY,
            kind=JobKind.FINE_TUNE,
            state=JobState.QUEUED,
            base=self._secret,
            model="model",
            pool="pool",
        ).pk
        return self._job_beside

    def _checkpoint(self) -> Any:
        """Make one of the job of the same address, if there is one."""
        job_id = self._job_beside or self._standing.get("job") or self._job()
        row = JobCheckpoint.objects.order_by("-step").first()
        step = row.step + 1 if row else 1
        own = {"tenant": self._tenant, "job_id": job_id, "step": step}
        return JobCheckpoint.objects.create(**own).pk

    def _owner(self) -> FileOwner:
        assert self.asked_with
        key = self.asked_with
        return FileOwner(self._tenant.id, key.subject_id, key.pk, BY)

    def _reconciliation(self) -> Any:
        sums = {f"{unit}_{of}": 0 for unit in UNITS for of in ("ledger", "usage")}
        day = timezone.now().date() - timedelta(days=next(_number))
        same = {"tenant": self._tenant, "day": day, "ran_at": timezone.now()}
        return Reconciliation.objects.create(**same, **sums).id

    def _rotation(self) -> Any:
        """Make a finished rotation, so that no key has to be exchanged."""
        keys = {"old_key_id": uuid4(), "new_key_id": uuid4()}
        end = {"actor": BY, "finished_at": timezone.now()}
        return KeyRotation.objects.create(tenant_id=self._tenant.id, **keys, **end).pk

    def _restricted(self) -> Any:
        return model_access.restrict(self._tenant, self._new_name(), by=BY).id

    def _rule(self) -> Any:
        return CacheRule.set(self._tenant, on=True, model=self._new_name(), by=BY).pk

    def _template(self) -> Any:
        name = self._new_name().replace(" ", "-").lower()
        content = Content(prompt=self._secret)
        return PromptTemplate.create(self._tenant, name, content, by=BY).id

    def _policy(self) -> Any:
        name = self._new_name().replace(" ", "-").lower()
        spec = PolicySpec({}, self._secret, "mock", Thresholds(0.5, 0.9))
        written = Written(packed(spec), spec.model)
        return DecisionPolicy.create(self._tenant, name, written, by=BY).id

    def _assistant(self) -> Any:
        assert self.asked_with
        name = f"a{next(_number)}"
        own = self._tenant, name, self._secret, self.asked_with
        return sample_assistant.create(*own, BY).pk

    def _adapter(self) -> Any:
        name = f"a{next(_number)}"
        return Adapter.objects.create(
            tenant=self._tenant, base=self._secret, name=name, created_by=BY
        ).id

    def _webhook_action(self) -> Any:
        action, _secret = definitions.create(
            self._tenant,
            by=BY,
            name=f"a{next(_number)}",
            url=f"https://shop.example.com/{next(_number)}",
            arguments=definitions.ANYTHING,
            answer=definitions.ANYTHING,
            description={"en": self._secret},
        )
        return action.pk

    def _notice_target(self) -> Any:
        target = NoticeTarget(
            tenant=self._tenant,
            kind=TargetKind.WEBHOOK,
            name=f"{self._secret} {next(_number)}",
            groups=["quotas"],
            enabled=False,  # nothing leaves for it
        )
        target.create("https://hooks.example.com/", by=BY)
        return target.pk

    def _notice(self) -> Any:
        target = NoticeTarget.objects.get(pk=self._notice_target())
        now = timezone.now()
        notice = Notice.objects.create(
            tenant=self._tenant,
            target=target,
            event="quota.reached",
            occasion=str(uuid4()),
            state=NoticeState.FAILED,
            ended_at=now,
        )
        return notice.pk

    def _action_call(self) -> Any:
        call = ActionCall(
            tenant=self._tenant,
            action_name=f"a{next(_number)}",
            revision=1,
            moves_money=False,
            subject_id=uuid4(),
            created_by=BY,
        )
        call.encrypt({"text": self._secret})
        return call.refuse("sample", None, by=BY).pk

    def _alias(self) -> Any:
        name = f"a{next(_number)}"
        return ModelAlias.create(self._tenant, name, self._secret, by=BY).id

    def _dialogue(self) -> Any:
        """Begin a dialogue with the key that the walk uses; a message has the secret word."""
        dialogue = Dialogue.objects.create(
            tenant=self._tenant,
            api_key=self.asked_with,
            person=Person.objects.of(self._tenant.pk, self._new_name()),
            assistant_id=uuid4(),
            version=1,
            channel=Channel.API,
            language="en",
        )
        dialogue.add(Speaker.PERSON, Words([self._secret]))
        return dialogue.pk

    def _widget_key(self) -> Any:
        key, origins = ApiKey.issue(self._tenant, self._new_name(), by=BY)[0], ["https://a.example"]
        return WidgetKey.create(self._tenant, self._secret, uuid4(), key, origins, by=BY).pk

    def _task_set(self) -> Any:
        name = self._new_name().replace(" ", "-").lower()
        tasks = Tasks(Kind.AGREEMENT, [Item(prompt=self._secret)])
        return TaskSet.publish(self._tenant, name, tasks, by=BY).id

    def _evaluation(self) -> Any:
        """Make one that is over: no engine is asked for it."""
        task_set = TaskSet.objects.get(pk=self._task_set())
        models = {"model": self._secret, "against": "another"}
        return Evaluation.objects.create(
            tenant=self._tenant,
            task_set=task_set,
            task_set_name=task_set.name,
            task_set_number=1,
            sha256=task_set.sha256,
            kind=task_set.kind,
            **models,
            subject_id=uuid4(),
            created_by=BY,
            due_at=None,
            state=EvaluationState.SUCCEEDED,
            total=1,
            report={"figures": [], "agreement": None, "candidate": None, "against": None},
        ).id

    def _policy_evaluation(self) -> Any:
        """Make one that is over, of a policy with the tenant's secret word as its model."""
        name = self._new_name().replace(" ", "-").lower()
        written = Written(b"{}", self._secret, "")
        policy = DecisionPolicy.create(self._tenant, name, written, by=BY)
        return PolicyEvaluation.objects.create(
            tenant=self._tenant,
            version=policy.versions.get(),
            subject_id=uuid4(),
            created_by=BY,
            state=EvaluationState.SUCCEEDED,
            total=2,
            report=build({}, Labelled([0, 1]), {"policy": [0.2, 0.8]}, Thresholds(0.3, 0.6)),
        ).id

    def _model_version(self) -> Any:
        """Register a small file with the tenant's secret word in its card."""
        raw = b"GGUF" + bytes([3, 0, 0, 0]) + bytes(16)  # without keys and tensors
        name = self._new_name().replace(" ", "-").lower()
        with TemporaryDirectory() as folder:
            file = Path(folder, "model.gguf")
            file.write_bytes(raw)
            kind, card = VersionKind.BASE, self._secret
            return register(
                tenant_id=self._tenant.id, name=name, folder=file, kind=kind, card=card, by=BY
            ).pk

    def _model_file(self) -> Any:
        return ModelFile.objects.filter(tenant=self._tenant).latest("pk").pk

    def _knowledge_base(self) -> Any:
        name = self._new_name().replace(" ", "-").lower()
        base = KnowledgeBase.create(self._tenant, name, self._secret, by=BY)
        self._base_beside = base.id
        return base.id

    def _document(self) -> Any:
        """Make one that is ready, of the base of the same address, if there is one."""
        base_id = self._base_beside or self._standing.get("knowledge_base")
        base_id = base_id or self._knowledge_base()
        rows = {"tenant": self._tenant, "base_id": base_id}
        name = f"{self._secret} {next(_number)}"
        document = Document.objects.create(
            **rows, name=name, form="text", state="ready", created_by=BY
        )
        nothing = {"number": 0, "data_key_id": uuid4(), "ciphertext": b""}
        piece = DocumentPiece(tenant=self._tenant, document=document, number=0)
        encrypt_piece(piece, self._secret.encode())
        piece.save(force_insert=True)
        passage = Passage.objects.create(
            **rows, document=document, words=1, dimensions=1, **nothing
        )
        PassageWord.objects.create(tenant=self._tenant, passage=passage, word=1, count=1)
        return document.id

    def _data_set(self) -> Any:
        """Make a data set with a version of one row."""
        name = self._new_name().replace(" ", "-").lower()
        data_set = DataSet.create(self._tenant, name, uuid4(), by=BY)
        version = uploading.begin(data_set, DataSetFormat.TEXTS, by=BY)
        writer = RowWriter(version)
        writer.add(Row(None, b'{"text": "%b"}' % self._secret.encode()))
        writer.finish()
        DataSetVersion.objects.filter(pk=version.pk).update(state=DataSetState.READY, rows=1)
        DataSetNotice.objects.create(
            tenant=self._tenant, version=version, kind=DataSetNoticeKind.PURGED, name=str(version)
        )
        return data_set.id

    def _rolled_up(self, table: type[UsageHour] | type[UsageDay]) -> None:
        nobody = dict.fromkeys(("team_id", "member_id", "api_key_id"), uuid4())
        starts = timezone.now().replace(minute=0, second=0, microsecond=0)
        table.objects.create(
            tenant=self._tenant, model=self._secret, requests=1, starts=starts, **nobody
        )


def _release(hold: LegalHold) -> None:
    """Release a hold by two people; one may have asked already."""
    for person in ("isolation:1", "isolation:2"):
        with suppress(legal_hold.HoldRefused):
            legal_hold.release(hold, by=BY, person=person, reason="isolation shown")
