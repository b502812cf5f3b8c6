"""Replacement of an engine by a new version, which is loaded and warmed beside the old one.

After the switch the old engine drains. Each step is committed here before the next begins, so that
another driver (inference/replacing) goes on where one dies.
"""

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar, Self
from uuid import UUID, uuid4

from celery import current_app
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.actions import Action
from audit.trail.record import act
from inference.models.evaluations.evaluation_gate import reasons
from inference.models.recorded_refusal import RecordedRefusal
from inference.models.served import LONGEST_NAME, Engine, Pool
from tenants.models.model_changes import lock

log = logging.getLogger(__name__)
WARM_UPS, MOST_WARM_UPS = 3, 100
LOAD_WITHIN_S, LONGEST_LOAD_S = 900, 86_400
LEASE = timedelta(seconds=5)
LONGEST_REASON = 300


class Step(models.TextChoices):
    LOADING = "loading", gettext_lazy("loading")
    WARMING = "warming", gettext_lazy("warming up")
    SWITCHED = "switched", gettext_lazy("switched, the old one finishes")
    DONE = "done", gettext_lazy("done")
    KEPT = "kept", gettext_lazy("done, the old one is kept")
    ROLLING_BACK = "rolling_back", gettext_lazy("rolling back")
    ROLLED_BACK = "rolled_back", gettext_lazy("rolled back")
    FAILED = "failed", gettext_lazy("failed")
    CANCELLED = "cancelled", gettext_lazy("cancelled")


BEFORE_SWITCH = (Step.LOADING, Step.WARMING)  # the old one serves
OPEN = (*BEFORE_SWITCH, Step.SWITCHED, Step.ROLLING_BACK)  # needs a driver
RETURNABLE = (Step.SWITCHED, Step.KEPT)


class ReplacementQuerySet(models.QuerySet["Replacement"]):
    def open(self) -> Self:
        return self.filter(step__in=OPEN)

    def unattended(self) -> Self:
        """Open ones without a driver, or whose driver has died."""
        return self.open().filter(Q(driven_until=None) | Q(driven_until__lt=Now()))

    def of(self, engine: Engine) -> Self:
        """Replacements with this engine as the old or the new one, the latest first."""
        return self.filter(Q(old=engine) | Q(new=engine)).order_by("-created_at")

    def in_place_of(self, engine: str) -> Self:
        """Replacements that put another engine in the place of the one of this name."""
        return self.filter(old__name=engine, new__isnull=False, step__in=[Step.SWITCHED, Step.KEPT])


class Replacement(models.Model):
    unguarded = "of the platform's engines: no tenant's"  # by row security

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    pool = models.ForeignKey(Pool, models.CASCADE, related_name="replacements")
    old = models.ForeignKey(Engine, models.SET_NULL, null=True, related_name="replaced_by")
    new = models.ForeignKey(Engine, models.SET_NULL, null=True, related_name="replaces")
    old_name = models.CharField(max_length=LONGEST_NAME)
    new_name = models.CharField(max_length=LONGEST_NAME)
    step = models.CharField(max_length=20, choices=Step, default=Step.LOADING)
    reason = models.CharField(max_length=LONGEST_REASON, default="", blank=True)
    warm_ups = models.PositiveIntegerField(
        default=WARM_UPS, validators=[MaxValueValidator(MOST_WARM_UPS)]
    )
    load_within_s = models.PositiveIntegerField(
        default=LOAD_WITHIN_S, validators=[MinValueValidator(1), MaxValueValidator(LONGEST_LOAD_S)]
    )
    keeps_old = models.BooleanField(default=False)
    may_take_less = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    loaded_at = models.DateTimeField(null=True)
    warmed_at = models.DateTimeField(null=True)
    switched_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    warm_up_ms = models.PositiveIntegerField(null=True)  # duration of its warm-up answers
    driver = models.UUIDField(null=True)
    driven_until = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager[Any]] = ReplacementQuerySet.as_manager()

    class Meta:
        ordering: ClassVar[list[str]] = ["-created_at"]
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["step", "driven_until"])]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["old"], condition=Q(step__in=OPEN), name="inference_replacement_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.old_name} -> {self.new_name}"

    @classmethod
    def begin(
        cls,
        engine: Engine,
        name: str,
        fields: Mapping[str, Any],
        *,
        by: str,
        is_gated: bool = True,
        **options: Any,
    ) -> "Replacement":
        """Start replacing an engine by a new one with these fields. Raises ValidationError.

        `options` are further fields of the replacement, such as `warm_ups`. One that is not
        `is_gated` has the model that serves already, and other adapters.
        `inference.registry.versions` checks that the engine's kind takes the fields.
        """
        with transaction.atomic():
            lock(engine)
            engine.wake(by=by)  # if it rests
            refuse_to_replace(engine)
            if is_gated:
                _refuse_at_gates(engine, fields, by)
            new = Engine(pool=engine.pool, name=name, position=engine.position, staged=True)
            new.seat = engine.seat or engine.name
            for field, value in fields.items():
                setattr(new, field, value)
            new._added(by)
            replacement = cls(pool=engine.pool, old=engine, new=new, **options)
            replacement.old_name, replacement.new_name = engine.name, name
            replacement.clean_fields(
                exclude={f.name for f in cls._meta.fields if f.name not in options}
            )
            replacement.save(force_insert=True)
            replacement._record(Action.ENGINE_REPLACE, by)
            transaction.on_commit(_wake)
        return replacement

    def cancel(self, *, by: str) -> "Replacement":
        """Remove the new engine; the old one serves on.

        Raises ValidationError once switched.
        """
        with transaction.atomic():
            lock(self)
            if self.step not in BEFORE_SWITCH:
                raise ValidationError(_("It can be cancelled until the new version serves."))
            self._end(Step.CANCELLED, by)
            self._record(Action.ENGINE_REPLACE_CANCEL, by)
        return self

    def roll_back(self, *, by: str) -> "Replacement":
        """Let the old engine take requests again and the new one drain. Raises ValidationError."""
        with transaction.atomic():
            lock(self)
            if not self.can_be_rolled_back:
                raise ValidationError(_("The old engine is gone, or another one has its place."))
            self._serve(self.old, self.new)
            self.step, self.ended_at = Step.ROLLING_BACK, None
            self.driver = self.driven_until = None
            self.save()
            self._record(Action.ENGINE_ROLLBACK, by)
            transaction.on_commit(_wake)
        return self

    @property
    def can_be_cancelled(self) -> bool:
        return self.step in BEFORE_SWITCH

    @property
    def can_be_rolled_back(self) -> bool:
        if self.step not in RETURNABLE or not self.old:
            return False
        if self.new is None:  # somebody removed it
            return self.old.draining and not self.old.seat_is_taken
        if self.new.draining:
            return False
        return not Replacement.objects.open().filter(old=self.new).exists()

    # Steps of the driver, which has to hold the lease --------------------------------------------
    def claim(self) -> UUID | None:
        """Returns a lease of LEASE seconds; None if another driver has one."""
        driver = uuid4()
        rows = Replacement.objects.unattended().filter(pk=self.pk)
        return driver if rows.update(driver=driver, driven_until=Now() + LEASE) else None

    def loaded(self) -> None:
        self.step, self.loaded_at = Step.WARMING, timezone.now()
        self.save(update_fields=["step", "loaded_at"])

    @transaction.atomic
    def switch(self, *, by: str, warm_up_ms: int = 0) -> None:
        """Let the new engine serve and the old one drain, in all processes at the same moment."""
        assert self.old
        assert self.new
        self._serve(self.new, self.old)
        self.step, self.warmed_at, self.switched_at = Step.SWITCHED, timezone.now(), timezone.now()
        self.warm_up_ms = warm_up_ms
        self.save(update_fields=["step", "warmed_at", "switched_at", "warm_up_ms"])
        self._record(Action.ENGINE_SWITCH, by)

    @transaction.atomic
    def fail(self, reason: str, *, by: str) -> None:
        """End it as failed. The old engine serves on, untouched."""
        self.reason = reason[:LONGEST_REASON]
        self._end(Step.FAILED, by)
        self._record(Action.ENGINE_REPLACE_FAIL, by, reason=self.reason)

    @transaction.atomic
    def finish(self, *, by: str) -> None:
        """End it: the engine that served before has no more requests, and is removed or kept.

        If the engine that took its place was removed meanwhile, it serves again.
        """
        if self.step == Step.ROLLING_BACK:
            self._rolled_back(by)
        elif self.new is None:
            self._serve(self.old, None)
            self.fail(f"the engine {self.new_name} was removed", by=by)
        else:
            self._replaced(by)

    def _rolled_back(self, by: str) -> None:
        if self.old:
            self._end(Step.ROLLED_BACK, by)
            return
        self._serve(self.new, None)
        self.step, self.ended_at = Step.DONE, timezone.now()
        self.save(update_fields=["step", "ended_at"])

    def _replaced(self, by: str) -> None:
        keeps_old = bool(self.old and (self.keeps_old or self.old.from_file))
        if not keeps_old and self.old:
            earlier = Replacement.objects.filter(new=self.old, step=Step.KEPT)
            earlier.update(new=self.new, new_name=self.new_name)
            _remove(self.old, by)
            self.old = None
        self.step, self.ended_at = Step.KEPT if keeps_old else Step.DONE, timezone.now()
        self.save(update_fields=["step", "ended_at", "old"])

    # ---------------------------------------------------------------------------------------------
    def _end(self, step: Step, by: str) -> None:
        if self.new:
            _remove(self.new, by)
            self.new = None
        self.step, self.ended_at = step, timezone.now()
        self.save()

    def _serve(self, on: Engine | None, off: Engine | None) -> None:
        for engine, draining in ((on, False), (off, True)):
            if engine:
                engine.draining, engine.staged = draining, False
                engine.save(update_fields=["draining", "staged"])

    def _record(self, action: Action, by: str, **more: Any) -> None:
        names = {"name": self.old_name, "new": self.new_name, "pool": self.pool.name}
        act(action, actor=by, detail={**names, **more})


def _remove(engine: Engine, by: str) -> None:
    engine.record("remove", by)
    engine.delete()


def _wake() -> None:
    try:
        current_app.send_task("inference.replace", ignore_result=True)
    except Exception:  # the broker is away: beat sends the task within seconds
        log.warning("cannot start the replacement now; beat retries it", exc_info=True)


class GateMissed(RecordedRefusal):
    """The evaluations of the new version do not let it in."""

    def __init__(self, engine: Engine, version: str, missed: list[str], by: str) -> None:
        super().__init__({"version": missed})
        names = {"engine": engine.name, "pool": engine.pool.name, "version": version}
        self._detail, self._by = {**names, "reasons": missed}, by

    def record(self) -> None:
        act(Action.GATE_REFUSE, actor=self._by, detail=self._detail)


def _refuse_at_gates(engine: Engine, fields: Mapping[str, Any], by: str) -> None:
    """Raises GateMissed."""
    version = str((fields.get("options") or {}).get("version") or "")
    if missed := reasons(engine, version):
        raise GateMissed(engine, version, missed, by)


def refuse_to_replace(engine: Engine) -> None:
    """Raises ValidationError."""
    if engine.staged:
        raise ValidationError(_("It is being loaded itself."))
    if Replacement.objects.open().filter(Q(old=engine) | Q(new=engine)).exists():
        raise ValidationError(_("It is being replaced already."))
    if engine.draining:
        raise ValidationError(_("It takes no requests: resume it first."))
