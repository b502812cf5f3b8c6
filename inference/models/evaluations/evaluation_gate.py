"""Gates of a pool: what a new version must reach before it may serve there.

A gate reads reports that name the version. So the candidate is evaluated first, in a pool of its
own, and then switched to. A gate without such a report refuses.
"""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.actions import Action
from audit.trail.record import act
from inference.engine_entries import version_besides_adapters
from inference.evaluation.figures import BETTER, HIGHER, LOWER, METRICS
from inference.evaluation.report import figure_in
from inference.models.evaluations.evaluation import Evaluation, EvaluationState
from inference.models.prompt_template import LONGEST_NAME
from inference.models.served import Engine, Pool

MOST = 20  # of a pool
_SHA256 = 64


class Bound(models.TextChoices):
    ABSOLUTE = "absolute", gettext_lazy("a figure")
    RELATIVE = "relative", gettext_lazy("percent worse than what serves")


class EvaluationGate(models.Model):
    """`limit` is a figure, or the percent by which the candidate may be worse."""

    unguarded = "of the platform's pools: no tenant's"  # by row security

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    pool = models.ForeignKey(Pool, models.CASCADE, related_name="gates")
    task_set_name = models.CharField(max_length=LONGEST_NAME)  # for people
    sha256 = models.CharField(max_length=_SHA256)  # of the task set
    metric = models.CharField(max_length=40)
    bound = models.CharField(max_length=10, choices=Bound)
    limit = models.FloatField()
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager["EvaluationGate"]]

    class Meta:
        ordering: ClassVar[list[str]] = ["created_at"]
        constraints = [
            models.UniqueConstraint(
                "pool", "sha256", "metric", "bound", name="inference_evaluationgate_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.pool}: {self.metric} of {self.task_set_name}"

    @classmethod
    def add(
        cls,
        pool: Pool,
        *,
        task_set_name: str,
        sha256: str,
        metric: str,
        bound: str,
        limit: float,
        by: str,
    ) -> "EvaluationGate":
        """Add a gate. Raises ValidationError."""
        fields = {"metric": metric, "bound": bound, "limit": limit, "sha256": sha256}
        gate = cls(pool=pool, task_set_name=task_set_name, **fields)
        gate.full_clean()
        if pool.gates.count() >= MOST:
            raise ValidationError(_("A pool has at most %d gates.") % MOST)
        with transaction.atomic():
            gate.save(force_insert=True)
            gate._act(Action.GATE_ADD, by)
        return gate

    def clean(self) -> None:
        known = {metric for metrics in METRICS.values() for metric in metrics}
        if self.metric not in known:
            raise ValidationError({"metric": _("There is no such figure.")})
        digits = set("0123456789abcdef")
        if len(self.sha256) != _SHA256 or not set(self.sha256) <= digits:
            raise ValidationError({"sha256": _("The hash of a task set has 64 digits, 0-9 a-f.")})
        if self.bound == Bound.RELATIVE and not 0 <= self.limit <= 100:
            raise ValidationError({"limit": _("A number of percent is from 0 to 100.")})

    def remove(self, *, by: str) -> None:
        with transaction.atomic():
            self._act(Action.GATE_REMOVE, by)
            self.delete()

    @property
    def better(self) -> str:
        return BETTER.get(self.metric, HIGHER)

    def verdict(
        self, version: str, serving: Collection[str], owner: uuid.UUID | None = None
    ) -> "Verdict":
        """Returns whether a version may replace the one that serves, and the figures.

        Of a version that is a tenant's own, the reports of that tenant alone count.
        """
        candidate = self._figure([version] if version else [], owner)
        if candidate is None:
            return Verdict(self, None, None, passes=False)
        if self.bound == Bound.ABSOLUTE:
            return Verdict(self, candidate, self.limit, self._reaches(candidate, self.limit))
        served = self._figure(serving)
        if served is None:
            return Verdict(self, candidate, None, passes=False)
        share = self.limit / 100
        least = served * (1 + share) if self.better == LOWER else served * (1 - share)
        return Verdict(self, candidate, least, self._reaches(candidate, least))

    def _reaches(self, value: float, bound: float) -> bool:
        return value <= bound if self.better == LOWER else value >= bound

    def _figure(self, versions: Collection[str], owner: uuid.UUID | None = None) -> float | None:
        """Returns the figure of the latest report about one of the versions; None without one."""
        rows = Evaluation.objects.filter(sha256=self.sha256, state=EvaluationState.SUCCEEDED)
        if owner:
            rows = rows.filter(tenant=owner)
        ours = rows.filter(version__in=versions).newest_first().first()
        against = rows.filter(against_version__in=versions).exclude(against="")
        theirs = against.newest_first().first()
        newest = max(
            (row for row in (ours, theirs) if row), key=lambda row: row.created_at, default=None
        )
        if newest is None:
            return None
        side = "candidate" if newest is ours else "against"
        row = figure_in(newest.report or {}, self.metric)
        return float(row[side]["value"]) if row and row[side] else None

    def _act(self, action: Action, by: str) -> None:
        detail: dict[str, Any] = {"pool": self.pool.name, "task_set": self.task_set_name}
        detail |= {"sha256": self.sha256, "metric": self.metric}
        detail |= {"bound": self.bound, "limit": self.limit}
        act(action, actor=by, detail=detail)


@dataclass(frozen=True)
class Verdict:
    """The figures of a gate. Without a report `value` is None, or `bound` for what serves."""

    gate: EvaluationGate
    value: float | None
    bound: float | None
    passes: bool

    def __str__(self) -> str:
        names = {"metric": self.gate.metric, "tasks": self.gate.task_set_name}
        if self.value is None:
            return _("%(tasks)s: there is no report about this version.") % names
        if self.bound is None:
            return _("%(tasks)s: there is no report about the version that serves.") % names
        figures = {"value": f"{self.value:.4g}", "bound": f"{self.bound:.4g}"}
        if self.gate.better == LOWER:
            text = _("%(tasks)s: %(metric)s is %(value)s, and may be at most %(bound)s.")
        else:
            text = _("%(tasks)s: %(metric)s is %(value)s, and must be at least %(bound)s.")
        return text % {**names, **figures}


def reasons(engine: Engine, version: str, owner: uuid.UUID | None = None) -> list[str]:
    """Returns why a version may not take the place of the one that an engine serves.

    `owner` is the tenant of the version, if it is not the platform's.
    """
    serving = _names_of(engine.options)
    verdicts = [gate.verdict(version, serving, owner) for gate in engine.pool.gates.all()]
    return [str(verdict) for verdict in verdicts if not verdict.passes]


def _names_of(options: Mapping[str, Any]) -> set[str]:
    """Returns the version's names in reports: its own, and the one before it got its adapters."""
    return {str(options.get("version") or ""), version_besides_adapters(options)} - {""}
