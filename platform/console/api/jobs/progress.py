"""Shapes of a job's log, of the points of its curves, and of its checkpoints."""

from rest_framework import serializers as s

from console.api.strict_input import Row, Shape
from inference.models.job_progress import Level


class JobEventShape(Shape):
    id = s.IntegerField()
    at = s.DateTimeField()
    level = s.ChoiceField(Level.choices)
    code = s.CharField()
    message = s.CharField()
    EXAMPLE = {"level": "info", "code": "started", "message": "started at step 0"}


class MetricShape(Shape):
    id = s.IntegerField(help_text="Grows: ask for those after the last one.")
    at = s.DateTimeField()
    step = s.IntegerField()
    epoch = s.FloatField(allow_null=True)
    train_loss = s.FloatField(allow_null=True)
    held_out_loss = s.FloatField(allow_null=True)
    learning_rate = s.FloatField(allow_null=True)
    tokens = s.IntegerField()
    active_ms = s.IntegerField(help_text="GPU time of the job so far.")
    EXAMPLE = {"step": 12, "epoch": 0.5, "train_loss": 2.31, "held_out_loss": None}


class CheckpointShape(Row):
    step = s.IntegerField()
    size = s.IntegerField(help_text="Bytes.")
    train_loss = s.FloatField(allow_null=True)
    held_out_loss = s.FloatField(allow_null=True)
    has_files = s.SerializerMethodField(help_text="Older checkpoints keep no files.")
    EXAMPLE = {"step": 20, "size": 59_000_000, "has_files": True}

    def get_has_files(self, row: object) -> bool:
        return bool(getattr(row, "files", None))


class VersionMade(Shape):
    version = s.UUIDField()
    name = s.CharField()
    EXAMPLE = {"name": "smollm2-support-step-20@1"}
