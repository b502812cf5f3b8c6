"""The point from which long work goes on, one for each request that is such work."""

from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID

from django.db import models, transaction
from django.db.models import F
from django.db.models.functions import Greatest

from inference.models.completion import Completion, State
from tenants.models import Tenant

_ONE_LESS = {"attempts": Greatest(F("attempts") - 1, 0)}


class CheckpointQuerySet(models.QuerySet["Checkpoint"]):
    def left_over(self) -> "CheckpointQuerySet":
        """Returns those of completions that are settled."""
        return self.exclude(completion__state=State.OPEN)


class Checkpoint(models.Model):
    """The point from which long work goes on after its worker died, stopped or gave way.

    A run takes the row over when it begins, and only the last one that did may write it: a worker
    that was cut off cannot overwrite what another one has reached. Costs are those of all steps so
    far. The row is deleted once its completion is settled.
    """

    completion = models.OneToOneField(Completion, models.CASCADE, primary_key=True)
    tenant = models.ForeignKey(
        Tenant, models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    run = models.UUIDField()
    attempts = models.SmallIntegerField()  # runs since the last step
    step = models.BigIntegerField(default=0)
    ciphertext = models.BinaryField(default=b"")  # of the state after this step
    prompt_tokens = models.BigIntegerField(default=0)
    completion_tokens = models.BigIntegerField(default=0)
    gpu_ms = models.BigIntegerField(default=0)
    charged = models.BigIntegerField(default=0)  # by the fair queue, for all runs that have ended
    queue_ms = models.IntegerField(null=True)
    preemptions = models.SmallIntegerField(default=0)
    stops = models.SmallIntegerField(default=0)  # of its workers, when it was put back
    written_at = models.DateTimeField()

    objects: ClassVar[CheckpointQuerySet] = CheckpointQuerySet.as_manager()  # type: ignore[assignment]

    def __str__(self) -> str:
        return f"step {self.step} of {self.completion_id}"

    @classmethod
    def take_over(cls, completion_id: UUID, tenant_id: UUID, run: UUID) -> "Checkpoint":
        """Return the row, which only this run may write from now on."""
        new = {"tenant_id": tenant_id, "run": run, "attempts": 0, "written_at": datetime.now(UTC)}
        with transaction.atomic():
            rows = cls.objects.select_for_update()
            row, _made = rows.get_or_create(completion_id=completion_id, defaults=new)
            row.run, row.attempts = run, row.attempts + 1
            row.save(update_fields=["run", "attempts"])
        return row

    def advance(self, **fields: Any) -> bool:
        """Write a later step. Return False if another run has taken over."""
        return self._write(attempts=0, written_at=datetime.now(UTC), **fields)

    def note_preemption(self, charged: int) -> bool:
        return self._write(preemptions=F("preemptions") + 1, charged=charged, **_ONE_LESS)

    def note_stop(self, charged: int) -> bool:
        return self._write(stops=F("stops") + 1, charged=charged, **_ONE_LESS)

    def give_attempt_back(self) -> bool:
        """Take a run back that has ended without its worker's death."""
        return self._write(**_ONE_LESS)

    def _write(self, **fields: Any) -> bool:
        own = type(self).objects.filter(pk=self.pk, run=self.run)
        return bool(own.update(**fields))
