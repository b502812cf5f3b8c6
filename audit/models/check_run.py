from django.db import models


class CheckRun(models.Model):
    """A check of the platform's own promises that ran: what it found, and when."""

    name = models.CharField(max_length=80)
    tenant_id = models.UUIDField(null=True)  # None: of the platform as a whole
    general = models.BooleanField(default=False)  # it tells nothing of anybody: all may see it
    at = models.DateTimeField()
    ok = models.BooleanField()
    figures = models.JSONField(default=dict)
    problem = models.CharField(max_length=500, default="")
    took_ms = models.IntegerField(default=0)

    class Meta:
        indexes = [models.Index(fields=["tenant_id", "name", "-at"], name="audit_check_newest")]

    def __str__(self) -> str:
        return self.name
