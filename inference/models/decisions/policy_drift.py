"""The distance of a policy's decisions from the rows of its evaluation: a row a day.

Figures alone: no input and no person is in them.
"""

import uuid
from typing import ClassVar

from django.db import models

from inference.models.decisions.policy import DecisionPolicy
from tenants.models import Tenant


class PolicyDriftQuerySet(models.QuerySet["PolicyDrift"]):
    def latest_of_each(self) -> "PolicyDriftQuerySet":
        """Returns the latest day of each policy."""
        return self.order_by("policy", "-day").distinct("policy")


class PolicyDrift(models.Model):
    """The drift of a policy's champion on a day; a figure is None for want of rows.

    `input_psi` has the index of each input. `labelled` counts decisions with feedback, of which
    `calibration_error`, `mean_score` and `rate` are.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    policy = models.ForeignKey(DecisionPolicy, models.CASCADE, related_name="drift", db_index=False)
    version_number = models.PositiveIntegerField()
    day = models.DateField()
    rows = models.PositiveIntegerField()
    score_psi = models.FloatField(null=True)
    input_psi = models.JSONField(default=dict)
    labelled = models.PositiveIntegerField()
    calibration_error = models.FloatField(null=True)
    mean_score = models.FloatField(null=True)
    rate = models.FloatField(null=True)
    measured_at = models.DateTimeField()

    objects: ClassVar[PolicyDriftQuerySet] = PolicyDriftQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint("policy", "day", name="inference_policydrift_day"),
        ]

    def __str__(self) -> str:
        return f"{self.policy} on {self.day}"

    @property
    def worst_input(self) -> tuple[str, float] | None:
        """Returns the input that has moved farthest, with its index."""
        return max(self.input_psi.items(), key=lambda item: item[1], default=None)
