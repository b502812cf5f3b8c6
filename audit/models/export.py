"""Files made for a person, until they expire."""

import uuid

from django.db import models


class Export(models.Model):
    """A file made for a person: in FOREBAY_HOME/exports, encrypted, until it expires."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    tenant_id = models.UUIDField()
    subject_id = models.UUIDField(null=True)  # set in an export of one person's data
    kind = models.CharField(max_length=20)  # "audit", "subject"
    state = models.CharField(max_length=10, default="making")  # "ready", "failed"
    actor = models.CharField(max_length=80)
    asked = models.JSONField(default=dict)  # the filter
    data_key_id = models.UUIDField(null=True)
    rows = models.BigIntegerField(default=0)
    bytes = models.BigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, default="")
    problem = models.CharField(max_length=300, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["tenant_id", "-created_at"], name="audit_export_newest")]
