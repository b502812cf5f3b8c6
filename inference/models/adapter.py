"""A tenant's LoRA adapters: names that requests may use as models, and the versions behind them.

`BASE:NAME` is the model's name for clients. An adapter serves one version at a time. Each change of
it is a promotion, and the promotions are its history.
"""

from datetime import timedelta
from typing import Any, ClassVar, Self
from uuid import UUID, uuid4

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.actions import Action
from audit.trail.record import act
from inference.models.model_version import ModelVersion, VersionKind, VersionState
from inference.models.prompt_template import is_name
from inference.models.served import LONGEST_NAME
from inference.order import OrderAdapter
from tenants.models import Tenant
from tenants.models.model_changes import lock

LONGEST_ADAPTER, LONGEST_REASON = 80, 300
LOAD_WITHIN = timedelta(minutes=30)


class PromotionStep(models.TextChoices):
    LOADING = "loading", gettext_lazy("loading")
    SERVING = "serving", gettext_lazy("serving")
    REPLACED = "replaced", gettext_lazy("replaced by a later one")
    FAILED = "failed", gettext_lazy("failed")
    CANCELLED = "cancelled", gettext_lazy("cancelled")


class AdapterQuerySet(models.QuerySet["Adapter"]):
    def live(self) -> Self:
        return self.filter(removed_at=None)

    def of(self, tenant: Tenant) -> Self:
        """Those of the tenant that were not removed, by name."""
        return self.live().filter(tenant=tenant).order_by("base", "name")


class Adapter(models.Model):
    """A name of a tenant on a base model, whose rules hold for it."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="adapters", db_index=False)
    base = models.CharField(max_length=LONGEST_NAME)  # a model of the platform, by name
    name = models.CharField(max_length=LONGEST_ADAPTER, validators=[is_name])
    created_by = models.CharField(max_length=60)
    created_at = models.DateTimeField(auto_now_add=True)
    removed_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[AdapterQuerySet] = AdapterQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["tenant", "base", "name"],
                condition=Q(removed_at=None),
                name="inference_adapter_name",
            )
        ]

    def __str__(self) -> str:
        return self.model

    @property
    def model(self) -> str:
        """Returns its name as a model."""
        return f"{self.base}:{self.name}"

    @classmethod
    def create(cls, tenant: Tenant, base: str, name: str, *, by: str) -> "Adapter":
        """Create an adapter, which serves once a version is promoted. Raises ValidationError.

        `inference.adapters.acts` checks that the base is served.
        """
        adapter = cls(tenant=tenant, base=base, name=name, created_by=by)
        adapter.full_clean()
        if len(adapter.model) > LONGEST_NAME:
            raise ValidationError({"name": _("Together with the model's name it is too long.")})
        with transaction.atomic():
            lock(tenant)
            if tenant.adapters.live().count() >= settings.ADAPTERS_PER_TENANT:
                most = settings.ADAPTERS_PER_TENANT
                raise ValidationError(_("A tenant has at most %d adapters.") % most)
            adapter.save(force_insert=True)
            adapter.record(Action.ADAPTER_CREATE, by)
        return adapter

    def promote(self, version: ModelVersion, *, by: str, **fields: Any) -> "AdapterPromotion":
        """Have the engines load a version; it serves once all of them have it.

        `inference.adapters.gate` checks its evaluation. Raises ValidationError.
        """
        with transaction.atomic():
            lock(self)
            self._refuse(version)
            row = AdapterPromotion(
                tenant_id=self.tenant_id, adapter=self, version=version, created_by=by, **fields
            )
            row.save(force_insert=True)
            action = Action.ADAPTER_ROLLBACK if row.is_rollback else Action.ADAPTER_PROMOTE
            row.record(action, by)
        return row

    def roll_back(self, *, by: str) -> "AdapterPromotion":
        """Have the version serve again that served before this one. Raises ValidationError."""
        previous = self.previous
        if previous is None:
            raise ValidationError(_("No earlier version can serve again."))
        return self.promote(previous, by=by, is_rollback=True)

    def remove(self, *, by: str) -> None:
        """Serve it no longer. Its history stays, its versions stay in the registry."""
        with transaction.atomic():
            lock(self)
            if self.removed_at:
                return
            self.promotions.filter(step=PromotionStep.LOADING).update(
                step=PromotionStep.CANCELLED, ended_at=timezone.now()
            )
            self.promotions.filter(step=PromotionStep.SERVING).update(
                step=PromotionStep.REPLACED, ended_at=timezone.now()
            )
            self.removed_at = timezone.now()
            self.save(update_fields=["removed_at"])
            self.record(Action.ADAPTER_REMOVE, by)

    @property
    def serving(self) -> "AdapterPromotion | None":
        """Returns the promotion whose version serves, unless that was deleted."""
        rows = self.promotions.select_related("version").filter(step=PromotionStep.SERVING)
        return rows.filter(version__state=VersionState.READY).first()

    @property
    def loading(self) -> "AdapterPromotion | None":
        """Returns the promotion whose version is still to be loaded."""
        rows = self.promotions.select_related("version", "adapter")
        return rows.filter(step=PromotionStep.LOADING).first()

    @property
    def previous(self) -> ModelVersion | None:
        """Returns the version that served before the present one, if it can serve again."""
        now = self.promotions.filter(step=PromotionStep.SERVING).first()
        earlier = self.promotions.select_related("version").filter(step=PromotionStep.REPLACED)
        earlier = earlier.filter(version__state=VersionState.READY, version__kind="adapter")
        if now:
            earlier = earlier.exclude(version=now.version_id)
        row = earlier.order_by("-served_at").first()
        return row.version if row else None

    def _refuse(self, version: ModelVersion) -> None:
        """Raises ValidationError for a version that cannot serve."""
        if self.removed_at:
            raise ValidationError(_("The adapter has been removed."))
        if version.tenant_id != self.tenant_id or version.kind != VersionKind.ADAPTER:
            raise ValidationError({"version": _("There is no such version of an adapter.")})
        if version.state != VersionState.READY:
            raise ValidationError({"version": _("The version is not ready.")})
        if self.promotions.filter(step=PromotionStep.LOADING).exists():
            raise ValidationError(_("Another version is being loaded: wait, or cancel that."))
        if (now := self.serving) and now.version_id == version.pk:
            raise ValidationError({"version": _("This version serves already.")})

    def record(self, action: Action, by: str, **detail: Any) -> None:
        named = {"adapter": str(self.pk), "model": self.model}
        act(action, actor=by, tenant_id=self.tenant_id, detail={**named, **detail})


class PromotionQuerySet(models.QuerySet["AdapterPromotion"]):
    def loading(self) -> Self:
        """Those whose version is still to be loaded, the oldest first."""
        rows = self.filter(step=PromotionStep.LOADING).select_related("adapter", "version")
        return rows.order_by("created_at")

    def to_forget(self) -> Self:
        """Those whose version was deleted, and may still be on an engine."""
        rows = self.filter(version__state=VersionState.DELETED, forgotten_at=None)
        return rows.exclude(step=PromotionStep.LOADING).select_related("adapter")

    def wanted(self) -> Self:
        """Those whose version engines should have."""
        return self.filter(
            step__in=[PromotionStep.LOADING, PromotionStep.SERVING],
            version__state=VersionState.READY,
            adapter__removed_at=None,
        )


class AdapterPromotion(models.Model):
    """A version on its way to serving, or one that serves or served."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    adapter = models.ForeignKey(Adapter, models.CASCADE, related_name="promotions")
    version = models.ForeignKey(ModelVersion, models.CASCADE, related_name="promotions")
    step = models.CharField(max_length=10, choices=PromotionStep, default=PromotionStep.LOADING)
    is_rollback = models.BooleanField(default=False)
    formats = models.CharField(max_length=20, default="", blank=True)  # inference/adapters/files.py
    replacement = models.UUIDField(null=True)  # of an engine that is to have it, the latest
    # The evaluation that let it pass; None: none was asked for.
    report = models.UUIDField(null=True)
    reason = models.CharField(max_length=LONGEST_REASON, default="", blank=True)  # it failed
    created_by = models.CharField(max_length=60)
    created_at = models.DateTimeField(auto_now_add=True)
    served_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    forgotten_at = models.DateTimeField(null=True)  # its version was deleted, also from engines

    objects: ClassVar[PromotionQuerySet] = PromotionQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering: ClassVar[list[str]] = ["-created_at"]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                "step", name="adapterpromotion_open", condition=Q(step__in=["loading", "serving"])
            )
        ]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["adapter", "step"],
                condition=Q(step__in=["loading", "serving"]),
                name="inference_adapterpromotion_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.adapter} {self.version} {self.step}"

    @property
    def version_label(self) -> str:
        return str(self.version)

    @property
    def order_adapter(self) -> OrderAdapter:
        return OrderAdapter(self.adapter.name, self.version_id, str(self.version), self.formats)

    def serve(self, *, by: str) -> None:
        """Let it serve, in all processes within a second. The earlier one is replaced."""
        with transaction.atomic():
            formats = self.formats  # locking reads the row again
            if not self._locked():
                return
            now = timezone.now()
            earlier = self.adapter.promotions.filter(step=PromotionStep.SERVING)
            earlier.update(step=PromotionStep.REPLACED, ended_at=now)
            self.step, self.served_at, self.formats = PromotionStep.SERVING, now, formats
            self.save(update_fields=["step", "served_at", "formats"])
            self.record(Action.ADAPTER_SERVE, by)

    def fail(self, reason: str, *, by: str) -> None:
        """End it. What served before serves on."""
        self._end(PromotionStep.FAILED, Action.ADAPTER_FAIL, by, reason[:LONGEST_REASON])

    def cancel(self, *, by: str) -> None:
        """Raises ValidationError once it serves, or has ended."""
        if not self._end(PromotionStep.CANCELLED, Action.ADAPTER_CANCEL, by):
            raise ValidationError(_("It can be cancelled until it serves."))

    def forgotten(self) -> None:
        """End it after its version was deleted, and no engine has that any more."""
        now = timezone.now()
        rows = AdapterPromotion.objects.filter(pk=self.pk)
        rows.filter(step=PromotionStep.SERVING).update(step=PromotionStep.REPLACED, ended_at=now)
        rows.update(forgotten_at=now)

    def _end(self, step: PromotionStep, action: Action, by: str, reason: str = "") -> bool:
        with transaction.atomic():
            if not self._locked():
                return False
            self.step, self.reason, self.ended_at = step, reason, timezone.now()
            self.save(update_fields=["step", "reason", "ended_at"])
            self.record(action, by, **({"reason": reason} if reason else {}))
        return True

    def _locked(self) -> bool:
        """Lock it. Returns whether it is still loading."""
        lock(self.adapter)
        lock(self)
        return self.step == PromotionStep.LOADING

    def record(self, action: Action, by: str, **detail: Any) -> None:
        version = {"version": str(self.version_id), "label": str(self.version)}
        self.adapter.record(action, by, **version, **detail)


def versions_on_engines(base: str) -> list[UUID]:
    """Returns the versions that engines of a base should have, of all tenants."""
    rows = AdapterPromotion.objects.wanted().filter(adapter__base=base)
    return list(dict.fromkeys(rows.order_by("created_at").values_list("version_id", flat=True)))
