"""Versions of models: their files by hash, and what they were made from.

A version without a tenant is the platform's, and every tenant sees it. Files lie in the store of
objects (inference/model_registry/storage.py) and never change; a version says whether they are
there.
"""

from collections.abc import Collection, Iterable
from datetime import timedelta
from typing import Any, ClassVar, Self
from uuid import UUID, uuid4

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Max, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.actions import Action
from audit.trail.record import act
from inference.log_translation import in_words
from inference.models.prompt_template import is_name
from inference.models.served import Engine
from tenants.models import Tenant
from tenants.models.model_changes import lock

LONGEST_NAME, LONGEST_LICENCE, LONGEST_CARD, LONGEST_REASON = 80, 120, 20_000, 300
DATA_SUBJECTS = "data_subjects"  # in a source: whose files its job read, once that is erased
OF_THE_PLATFORM = "tenant_id is null"  # rows that every tenant sees, by row security
MOST_VERSIONS, MOST_PARENTS = 10_000, 16  # of a tenant; of a version


class VersionKind(models.TextChoices):
    BASE = "base", gettext_lazy("base model")
    FULL = "full", gettext_lazy("trained in full")
    ADAPTER = "adapter", gettext_lazy("adapter")
    QUANTISED = "quantised", gettext_lazy("quantised")
    DISTILLED = "distilled", gettext_lazy("distilled")
    CALIBRATOR = "calibrator", gettext_lazy("calibrator")


class VersionFormat(models.TextChoices):
    GGUF = "gguf", "GGUF"
    SAFETENSORS = "safetensors", "safetensors"
    JSON = "json", "JSON"  # of calibrators alone


class VersionState(models.TextChoices):
    IMPORTING = "importing", gettext_lazy("importing")
    READY = "ready", gettext_lazy("ready")
    FAILED = "failed", gettext_lazy("failed")
    DELETED = "deleted", gettext_lazy("deleted")


S = VersionState
LONGEST_LABEL = 45  # characters of the name in a label, which has 60 at most
UNATTENDED = timedelta(minutes=1)  # since its importer last showed that it lives
MOST_ATTEMPTS = 3


class ModelVersionQuerySet(models.QuerySet["ModelVersion"]):
    def visible_to(self, tenant_id: UUID | None) -> Self:
        """Versions of the tenant and the platform's; of None the platform's alone."""
        return self.filter(Q(tenant=None) | Q(tenant=tenant_id) if tenant_id else Q(tenant=None))

    def of(self, tenant_id: UUID | None) -> Self:
        """Versions of the tenant alone; of None the platform's."""
        return self.filter(tenant=tenant_id)

    def under_way(self, kinds: Iterable[str]) -> Self:
        """Imports from these kinds of sources, whether or not they have begun."""
        return self.filter(state=S.IMPORTING, source__type__in=list(kinds))

    def attended(self, kinds: Iterable[str]) -> Self:
        """Those of them that a living process has."""
        return self.under_way(kinds).filter(touched_at__gte=Now() - UNATTENDED)

    def waiting(self, kinds: Iterable[str]) -> Self:
        """Those of them that no living process has, the oldest first."""
        rows = self.under_way(kinds)
        return rows.filter(touched_at__lt=Now() - UNATTENDED).order_by("created_at")

    def ready(self) -> Self:
        return self.filter(state=S.READY)

    def present(self) -> Self:
        """Versions that have files, or will have: they count in the quota."""
        return self.filter(state__in=[S.IMPORTING, S.READY])

    def listed(self) -> Self:
        """Leaves out deleted ones; the latest comes first."""
        return self.exclude(state=S.DELETED).order_by("-created_at")

    def trained_on(self, data_set_versions: Iterable[UUID]) -> Self:
        """Versions that were trained on one of these versions of data sets."""
        ids = ModelDataSet.objects.filter(data_set_version_id__in=list(data_set_versions))
        return self.filter(pk__in=ids.values("version"))

    def made_of_files_of(self, subject_id: UUID) -> Self:
        """Versions of jobs over files of the person, whose rows are gone."""
        return self.filter(**{f"source__{DATA_SUBJECTS}__contains": [str(subject_id)]})

    def descendants(self) -> Self:
        """These versions, and all that were made from them, over any number of steps."""
        known: set[UUID] = set()
        step = set(self.values_list("pk", flat=True))
        while step:
            known |= step
            children = ModelParent.objects.filter(parent__in=step)
            step = set(children.values_list("version", flat=True)) - known
        return ModelVersion.objects.filter(pk__in=known)  # type: ignore[return-value]


class ModelVersion(models.Model):
    seen_by_person = OF_THE_PLATFORM

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    tenant = models.ForeignKey(
        Tenant, models.CASCADE, null=True, related_name="model_versions", db_index=False
    )
    name = models.CharField(max_length=LONGEST_NAME, validators=[is_name])
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=12, choices=VersionKind)
    format = models.CharField(max_length=12, choices=VersionFormat, default="", blank=True)
    dtype = models.CharField(max_length=20, default="", blank=True)  # of most bytes
    architecture = models.CharField(max_length=60, default="", blank=True)
    parameters = models.BigIntegerField(default=0)
    context_length = models.BigIntegerField(default=0)  # 0: the files do not say
    size = models.BigIntegerField(default=0)  # bytes of all files
    licence = models.CharField(max_length=LONGEST_LICENCE, default="", blank=True)
    card = models.TextField(max_length=LONGEST_CARD, default="", blank=True)
    state = models.CharField(max_length=12, choices=VersionState, default=S.IMPORTING)
    problem = models.CharField(max_length=LONGEST_REASON, default="", blank=True)  # why it failed
    source = models.JSONField(default=dict, blank=True)  # where an import gets its files
    parents: "models.ManyToManyField[ModelVersion, ModelParent]" = models.ManyToManyField(
        "self", through="ModelParent", symmetrical=False, related_name="children"
    )
    made_by_job = models.UUIDField(null=True, blank=True)
    created_by = models.CharField(max_length=60)
    created_at = models.DateTimeField(auto_now_add=True)
    # While it is importing: when its writer last showed that it lives.
    touched_at = models.DateTimeField(default=timezone.now)
    deleted_at = models.DateTimeField(null=True, blank=True)
    # It was trained on data that has been erased since.
    marked_at = models.DateTimeField(null=True, blank=True)
    marked_reason = models.CharField(max_length=LONGEST_REASON, default="", blank=True)
    manifest_sha256 = models.CharField(max_length=64, default="", blank=True)
    signature = models.BinaryField(default=b"")

    objects: ClassVar[ModelVersionQuerySet] = ModelVersionQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering: ClassVar[list[str]] = ["-created_at"]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["tenant", "-created_at"], name="modelversion_tenant_created"),
            models.Index(
                "touched_at", name="modelversion_importing", condition=Q(state="importing")
            ),
        ]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["tenant", "name", "number"],
                nulls_distinct=False,
                name="inference_modelversion_number",
            )
        ]

    def __str__(self) -> str:
        return f"{self.name}@{self.number}"

    @property
    def owner(self) -> str:
        """Returns the name of its owner in the store of objects."""
        return str(self.tenant_id) if self.tenant_id else "platform"

    @property
    def shown_source(self) -> dict[str, Any]:
        """Returns where its files come from, without the pseudonyms of people."""
        return {name: each for name, each in self.source.items() if name != DATA_SUBJECTS}

    @property
    def problem_in_words(self) -> str:
        """Returns why its import failed, in the reader's language."""
        return in_words(self.problem)

    @property
    def engine_names(self) -> list[str]:
        """Returns the engines that serve it."""
        rows = Engine.objects.filter(model_version_id=self.pk)
        return sorted(rows.values_list("name", flat=True))

    @property
    def label(self) -> str:
        """Returns the version that engines which serve it state (`options.version`).

        Reports and gates go by it, so no other version has the same one.
        """
        if self.tenant_id is None and len(self.name) <= LONGEST_LABEL:
            return f"{self.name}-{self.number}"
        return f"{self.name[: LONGEST_LABEL - 9]}-{self.number}.{self.pk.hex[-8:]}"

    @classmethod
    def begin(
        cls,
        *,
        tenant_id: UUID | None,
        name: str,
        kind: VersionKind,
        by: str,
        parents: Collection[UUID] = (),
        data_set_versions: Iterable[UUID] = (),
        **fields: Any,
    ) -> "ModelVersion":
        """Create a version whose files are still to come, with the next number of its name.

        Runs in the tenant's scope, or in the system's for the platform's. Raises ValidationError.
        """
        version = cls(tenant_id=tenant_id, name=name, kind=kind, created_by=by, **fields)
        with transaction.atomic():
            version.number = _next_number(tenant_id, name)
            version.full_clean(exclude=["tenant"])
            version._refuse_parents(parents)
            version.save(force_insert=True)
            version._descend_from(parents, data_set_versions)
            version.record(Action.MODEL_VERSION_IMPORT, by, kind=str(kind), source=version.source)
        return version

    def _refuse_parents(self, parents: Collection[UUID]) -> None:
        visible = ModelVersion.objects.visible_to(self.tenant_id).exclude(state=S.DELETED)
        if len(parents) > MOST_PARENTS or visible.filter(pk__in=parents).count() != len({*parents}):
            raise ValidationError({"parents": _("There is no such version of a model.")})

    def _descend_from(self, parents: Iterable[UUID], data_sets: Iterable[UUID]) -> None:
        own = self.tenant_id
        links = [ModelParent(tenant_id=own, version=self, parent_id=pk) for pk in {*parents}]
        uses = [
            ModelDataSet(tenant_id=own, version=self, data_set_version_id=pk) for pk in {*data_sets}
        ]
        ModelParent.objects.bulk_create(links)
        ModelDataSet.objects.bulk_create(uses)

    def claim_import(self) -> bool:
        """Returns whether the caller is to import it now: one process at a time.

        After three processes that died with it, it fails.
        """
        attempts = int(self.source.get("attempts", 0)) + 1
        rows = ModelVersion.objects.filter(pk=self.pk).waiting([self.source["type"]])
        self.source = {**self.source, "attempts": attempts}
        if not rows.update(touched_at=Now(), source=self.source):
            return False
        if attempts > MOST_ATTEMPTS:
            self.fail("its import ended the process that tried it", by="system:models")
        return attempts <= MOST_ATTEMPTS

    def alive(self) -> bool:
        """Show that its import goes on. Returns False if it was deleted or given up meanwhile."""
        rows = ModelVersion.objects.filter(pk=self.pk, state=S.IMPORTING)
        return bool(rows.update(touched_at=Now()))

    def finish(self, *, by: str, **fields: Any) -> "ModelVersion":
        """Make it ready, with what its files say. Raises ValidationError if it is gone."""
        with transaction.atomic():
            lock(self)
            if self.state != S.IMPORTING:
                raise ValidationError(_("The version was deleted while it was imported."))
            for name, value in fields.items():
                setattr(self, name, value)
            self.state, self.problem = S.READY, ""
            self.save()
            self.record(Action.MODEL_VERSION_READY, by, manifest=self.manifest_sha256)
            self._inherit_mark(by=by)
        return self

    def _inherit_mark(self, *, by: str) -> None:
        """Mark what is made of a marked version: its weights hold what those of its parent do."""
        marked = self.parents.exclude(marked_at=None).order_by("marked_at").first()
        if marked:
            self.mark(marked.marked_reason, by=by)

    def fail(self, problem: str, *, by: str) -> None:
        """End an import that cannot go on."""
        with transaction.atomic():
            lock(self)
            if self.state != S.IMPORTING:
                return
            self.state, self.problem = S.FAILED, problem[:LONGEST_REASON]
            self.save(update_fields=["state", "problem"])
            self.record(Action.MODEL_VERSION_FAIL, by, reason=self.problem)

    def note_data_subjects(self, subjects: list[str]) -> None:
        """Note whose files its job read: the row of the job, which says so, is about to go."""
        with transaction.atomic():
            lock(self)
            self.source = {**self.source, DATA_SUBJECTS: subjects}
            self.save(update_fields=["source"])

    def delete_files(self, *, by: str) -> None:
        """Mark it as deleted: its row stays as a part of others' lineage, its files go.

        `inference.model_registry.deleting` checks that nothing uses it, and deletes the files.
        """
        with transaction.atomic():
            lock(self)
            if self.state == S.DELETED:
                return
            self.state, self.deleted_at = S.DELETED, timezone.now()
            self.card, self.problem = "", ""
            self.source = {k: v for k, v in self.source.items() if k == DATA_SUBJECTS}
            self.save(update_fields=["state", "deleted_at", "card", "source", "problem"])
            self.record(Action.MODEL_VERSION_DELETE, by)

    def mark(self, reason: str, *, by: str) -> None:
        """Say that it was trained on data that has been erased since. The first mark stays."""
        with transaction.atomic():
            lock(self)
            if self.marked_at:
                return
            self.marked_at, self.marked_reason = timezone.now(), reason[:LONGEST_REASON]
            self.save(update_fields=["marked_at", "marked_reason"])
            self.record(Action.MODEL_VERSION_MARK, by, reason=self.marked_reason)

    def record(self, action: Action, by: str, **detail: Any) -> None:
        named = {"version": str(self.pk), "name": self.name, "number": self.number}
        act(action, actor=by, tenant_id=self.tenant_id, detail={**named, **detail})


class ModelParent(models.Model):
    """A version was made from another, of its tenant or of the platform."""

    seen_by_person = OF_THE_PLATFORM

    tenant = models.ForeignKey(Tenant, models.CASCADE, null=True, related_name="+", db_index=False)
    version = models.ForeignKey(ModelVersion, models.CASCADE, related_name="parent_links")
    # Without a constraint, which would ask for the same tenant: a base is often the platform's.
    parent = models.ForeignKey(
        ModelVersion, models.CASCADE, related_name="child_links", db_constraint=False
    )

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["version", "parent"], name="inference_modelparent_once")
        ]

    def __str__(self) -> str:
        return f"{self.parent_id} -> {self.version_id}"


class ModelDataSet(models.Model):
    """A version was trained on a version of a data set, which may be deleted earlier."""

    seen_by_person = OF_THE_PLATFORM

    tenant = models.ForeignKey(Tenant, models.CASCADE, null=True, related_name="+", db_index=False)
    version = models.ForeignKey(ModelVersion, models.CASCADE, related_name="data_set_links")
    data_set_version_id = models.UUIDField(db_index=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["version", "data_set_version_id"], name="inference_modeldataset_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.data_set_version_id} -> {self.version_id}"


class ModelFile(models.Model):
    """A file of a version. Equal files of one owner are one object in the store."""

    seen_by_person = OF_THE_PLATFORM

    tenant = models.ForeignKey(Tenant, models.CASCADE, null=True, related_name="+", db_index=False)
    version = models.ForeignKey(ModelVersion, models.CASCADE, related_name="files")
    name = models.CharField(max_length=400)  # with its folders: "tokenizer/vocab.json"
    sha256 = models.CharField(max_length=64)
    size = models.BigIntegerField()

    class Meta:
        ordering: ClassVar[list[str]] = ["name"]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["tenant", "sha256"], name="modelfile_tenant_sha256")
        ]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["version", "name"], name="inference_modelfile_once")
        ]

    def __str__(self) -> str:
        return self.name


def _next_number(tenant_id: UUID | None, name: str) -> int:
    """Returns the next number of a name, and keeps others from taking it until the commit."""
    lock_registry(tenant_id)
    rows = ModelVersion.objects.of(tenant_id)
    if rows.present().count() >= MOST_VERSIONS:
        raise ValidationError(_("There are at most %d versions of models.") % MOST_VERSIONS)
    return int(rows.filter(name=name).aggregate(last=Max("number"))["last"] or 0) + 1


def lock_registry(tenant_id: UUID | None) -> None:
    """Lock the numbers, the quota and the shared files of an owner until the transaction ends."""
    with transaction.get_connection().cursor() as cursor:
        key = f"model_registry:{tenant_id or 'platform'}"
        cursor.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", [key])
