"""Retention periods of each kind of data, and a preview of a change. Keys do not change them."""

from typing import Any

import django_filters as f
from django import forms
from rest_framework import serializers as s
from rest_framework.response import Response

from audit.models import RetentionRule
from audit.retention import data_classes, periods
from audit.retention.data_classes import MOST_DAYS, DataClass
from audit.retention.periods import Preview, Rule
from console.api.problem import not_found
from console.api.resource import Resource
from console.api.strict_input import Shape
from tenants.roles import Permission as P


class RuleShape(Shape):
    data_class = s.CharField(source="data_class.name")
    # DRF takes declared fields out of the class: Field.label stays
    label = s.CharField(source="data_class.label")  # type: ignore[assignment]
    days = s.IntegerField()
    floor_days = s.IntegerField(source="data_class.floor_days", help_text="The least of `days`.")
    default_days = s.IntegerField(source="data_class.default_days")
    changed_at = s.DateTimeField(allow_null=True)
    EXAMPLE = {
        "data_class": "audit",
        "label": "Audit trail: events and texts of requests",
        "days": 200,
        "floor_days": 184,
        "default_days": 200,
        "changed_at": None,
    }


class RulesShape(Shape):
    results = RuleShape(many=True)
    EXAMPLE = {"results": [RuleShape.EXAMPLE]}


class RuleChange(Shape):
    days = s.IntegerField(min_value=1, max_value=MOST_DAYS)
    EXAMPLE = {"days": 365}


class PreviewShape(Shape):
    data_class = s.CharField(source="data_class.name")
    present = s.IntegerField()
    days = s.IntegerField()
    before = s.DateTimeField(help_text="Data before this moment would be deleted.")
    months = s.DictField(child=s.DictField(child=s.IntegerField()), help_text="Rows, by kind.")
    on_hold = s.SerializerMethodField(help_text="A legal hold keeps the data all the same.")
    EXAMPLE = {
        "data_class": "audit",
        "present": 365,
        "days": 200,
        "before": "2026-01-31T08:00:00Z",
        "months": {"2026-01": {"events": 120, "texts": 80}},
        "on_hold": False,
    }

    def get_on_hold(self, preview: Preview) -> bool:
        return preview.hold is not None


class DaysFilter(f.NumberFilter):
    field_class = forms.IntegerField


class PreviewQuestion(f.FilterSet):
    days = DaysFilter(min_value=1, max_value=MOST_DAYS, required=True)


class Retention(Resource):
    needs = {
        "show": P.VIEW_AUDIT,
        "retrieve": P.VIEW_AUDIT,
        "preview": P.VIEW_AUDIT,
        "partial_update": P.MANAGE_RETENTION,
    }
    shape = RuleShape
    gives = {"show": RulesShape, "preview": PreviewShape}
    takes = {"partial_update": RuleChange}
    asks = {"preview": PreviewQuestion}

    def show(self, request: Any, tenant: str) -> Response:
        """Show the retention of every kind of data."""
        rules = periods.rules(self.url_tenant.id)
        return Response({"results": [RuleShape(rule).data for rule in rules]})

    def retrieve(self, request: Any, tenant: str, data_class: str) -> Response:
        """Show the retention of one kind of data."""
        return self._answer(self._rule(data_class))

    def preview(self, request: Any, tenant: str, data_class: str) -> Response:
        """Preview a change to another number of days. Nothing changes."""
        one = self._class(data_class)
        question = self.checked_filters(RetentionRule.objects.none())
        preview = periods.preview(self.url_tenant.id, one.name, question.form.cleaned_data["days"])
        return Response(PreviewShape(preview).data)

    def partial_update(self, request: Any, tenant: str, data_class: str) -> Response:
        """Change the retention of one kind of data, from tonight on.

        This is on record, with the data that goes. Nobody can go below the minimum.
        """
        fields = self.body()
        self.check_if_match(self._rule(data_class))
        if "days" in fields:
            periods.change(self.url_tenant.id, data_class, fields["days"], by=self.actor)
        return self._answer(self._rule(data_class))

    def _rule(self, name: str) -> Rule:
        return periods.rule(self.url_tenant.id, self._class(name))

    def _class(self, name: str) -> DataClass:
        try:
            return data_classes.of(name)
        except KeyError:
            raise not_found() from None

    def _answer(self, rule: Rule) -> Response:
        body = RuleShape(rule).data
        return Response(body, headers={"ETag": self.etag(body)})
