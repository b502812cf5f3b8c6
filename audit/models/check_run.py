"""Runs of checks of the platform, with their findings."""

import time
from datetime import datetime
from typing import Any

from django.db import models


class CheckRun(models.Model):
    """A run of a check of the platform's own promises, with its findings."""

    name = models.CharField(max_length=80)
    tenant_id = models.UUIDField(null=True)  # None: the platform as a whole
    general = models.BooleanField(default=False)  # it names nobody, so everybody may see it
    at = models.DateTimeField()
    ok = models.BooleanField()
    figures = models.JSONField(default=dict)
    problem = models.CharField(max_length=500, default="")
    took_ms = models.IntegerField(default=0)

    class Meta:
        indexes = [models.Index(fields=["tenant_id", "name", "-at"], name="audit_check_newest")]

    @classmethod
    def record(
        cls, name: str, at: datetime, began: float, figures: dict[str, Any], problem: str
    ) -> "CheckRun":
        """Stores a run without a tenant, which is ok without a problem; `began`: monotonic."""
        return cls.objects.create(
            name=name,
            at=at,
            ok=not problem,
            figures=figures,
            problem=problem[:500],
            took_ms=int((time.monotonic() - began) * 1000),
        )
