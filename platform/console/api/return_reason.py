"""The reason in the body of an act that sends a version back to its authors."""

from rest_framework import serializers as s

from console.api.strict_input import Shape
from inference.models.versions.reviewed import LONGEST_REASON


class ReturnReason(Shape):
    reason = s.CharField(max_length=LONGEST_REASON, help_text="Its authors read it.")
    EXAMPLE = {"reason": "The refund's reply promises a date that the shop does not keep."}
