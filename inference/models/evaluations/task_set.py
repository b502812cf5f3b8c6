"""Task sets of a tenant: the tasks of evaluations. A version never changes, its hash names it.

They are texts of the tenant, not of a person: encrypted under the tenant's own key, and not erased
with a person. Whoever may write them removes one with somebody else's words in it.
"""

import uuid
from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils.translation import gettext as _

from audit.actions import Action
from audit.keys.keyring import keyring
from audit.trail.record import act
from inference.evaluation import content as contents
from inference.evaluation.benchmark_names import benchmark_in, is_refused
from inference.evaluation.content import Content, Kind
from inference.models.prompt_template import LONGEST_NAME, is_name
from tenants.models import Tenant
from tenants.models.model_changes import lock

MOST = 1_000  # of a tenant


class TaskSet(models.Model):
    """One version of a task set. `name` and `number` are for people, `sha256` for comparisons."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="task_sets", db_index=False)
    name = models.CharField(max_length=LONGEST_NAME, validators=[is_name])
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=12, choices=Kind)
    sha256 = models.CharField(max_length=64)
    items = models.PositiveIntegerField()
    test_items = models.PositiveIntegerField()
    options = models.JSONField(default=dict)
    data_key_id = models.UUIDField()
    ciphertext = models.BinaryField()
    created_by = models.CharField(max_length=60)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager["TaskSet"]]

    class Meta:
        constraints = [
            models.UniqueConstraint("tenant", "name", "number", name="inference_taskset_version"),
            models.UniqueConstraint("tenant", "name", "sha256", name="inference_taskset_content"),
        ]

    def __str__(self) -> str:
        return f"{self.name}@{self.number}"

    @classmethod
    def publish(cls, tenant: Tenant, name: str, content: Content, *, by: str) -> "TaskSet":
        """Add a version, or return the one with this content. Raises ValidationError."""
        task_set = cls(tenant=tenant, name=name, kind=content.kind, sha256=content.sha256)
        task_set._check(content)
        with transaction.atomic():
            lock(tenant)  # two versions at once get two numbers
            own = tenant.task_sets.filter(name=name)
            if same := own.filter(sha256=task_set.sha256).first():
                return same
            if tenant.task_sets.count() >= MOST:
                raise ValidationError(_("A tenant has at most %d task sets.") % MOST)
            latest = own.order_by("-number").values_list("number", flat=True).first()
            task_set.number, task_set.created_by = (latest or 0) + 1, by
            task_set._encrypt(content)
            task_set.save(force_insert=True)
            task_set._act(Action.TASK_SET_CREATE, by)
        return task_set

    def remove(self, *, by: str) -> None:
        """Delete this version. Reports about it stay, and name it by its hash."""
        with transaction.atomic():
            self._act(Action.TASK_SET_DELETE, by)
            self.delete()

    @property
    def content(self) -> Content:
        """Raises Unreadable, MasterKeyUnavailable."""
        cipher = keyring.by_id_now(self.data_key_id)
        return contents.unpacked(cipher.decrypt(bytes(self.ciphertext), self._aad))

    def _check(self, content: Content) -> None:
        is_name(self.name)
        if not content.test_items:
            raise ValidationError(_("No item is in the part for tests: add items, or raise it."))
        if is_refused(self.name, self.sha256, settings.BENCHMARKS):
            text = _(
                "%(benchmark)s is the name of a public benchmark. Choose another name. If this is "
                "the licensed copy, the operator says so in FOREBAY_BENCHMARKS: %(sha256)s."
            )
            benchmark = benchmark_in(self.name)
            raise ValidationError(text % {"benchmark": benchmark, "sha256": self.sha256})

    def _encrypt(self, content: Content) -> None:
        cipher = keyring.of_subject_now(self.tenant_id, None)
        self.items, self.test_items = len(content.items), len(content.test_items)
        self.options = contents.as_fields(content.options)
        self.data_key_id = cipher.key_id
        self.ciphertext = cipher.encrypt(contents.packed(content), self._aad)

    def _act(self, action: Action, by: str) -> None:
        detail: dict[str, Any] = {"task_set": str(self.id), "name": self.name}
        detail |= {"version": self.number, "sha256": self.sha256}
        act(action, actor=by, tenant_id=self.tenant_id, detail=detail)

    @property
    def _aad(self) -> bytes:
        return b"inference_taskset|%b|%b" % (self.tenant_id.bytes, self.id.bytes)
