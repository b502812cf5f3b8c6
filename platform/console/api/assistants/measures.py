"""Figures of customer service, the dialogues behind them, and both versions of an assistant."""

from dataclasses import asdict
from typing import Any

import django_filters as f
from django.db.models import BooleanField, ExpressionWrapper, QuerySet
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.acts import Act, shape_of
from console.api.problem import bad_request, not_found
from console.api.resource import Resource
from console.api.strict_input import Row, Shape
from console.measures.comparison import sentence
from console.measures.filters import DAY, RANGES, WEEK, DialogueFilter, ServiceFilter
from console.usage.usage_filter import CUSTOM
from inference.dialogues.measures.cohort import OVER, CallOutcome, Outcome, outcome_of
from inference.dialogues.measures.comparison import (
    BETTER,
    CHANCE,
    TOO_FEW,
    WORSE,
    Measure,
    compared,
)
from inference.dialogues.measures.figures import Figures
from inference.dialogues.measures.report import By, TooMany
from inference.models import Channel, Dialogue
from inference.models.assistants.dialogue import LONGEST_INTENT
from inference.models.prompt_template import LONGEST_NAME
from tenants.roles import Permission as P


def _choices(words: Any) -> list[tuple[str, str]]:
    return [(str(word), str(word)) for word in words]


class CohortQuestion(f.FilterSet):
    range = f.ChoiceFilter(choices=_choices([*RANGES, CUSTOM]), help_text="By default 30d.")
    first = f.DateFilter(help_text="Used with range=custom.")
    last = f.DateFilter()
    assistant = f.UUIDFilter()
    version = f.NumberFilter(help_text="Of the assistant.")
    channel = f.ChoiceFilter(choices=_choices(Channel.values))
    language = f.ChoiceFilter(choices=_choices(["en", "zh"]))
    intent = f.CharFilter(max_length=LONGEST_INTENT)

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Returns the rows as they are: the pages' forms narrow them."""
        return queryset


class ServiceQuestion(CohortQuestion):
    step = f.ChoiceFilter(choices=_choices([DAY, WEEK]), help_text="Of the series.")
    by = f.ChoiceFilter(choices=_choices(By.values), help_text="Of the groups.")


class DialogueQuestion(CohortQuestion):
    outcome = f.ChoiceFilter(choices=_choices(Outcome.values))
    reason = f.CharFilter(max_length=60, help_text="Code of a hand-over's reason.")
    call = f.ChoiceFilter(choices=_choices(CallOutcome.values), help_text="Outcome of a call.")
    action = f.CharFilter(max_length=LONGEST_NAME, help_text="It called this action.")
    satisfaction = f.NumberFilter(help_text="1 to 5.")
    turns = f.NumberFilter(help_text="At least.")
    answer_ms = f.NumberFilter(help_text="An answer took at least so long.")
    resolve_s = f.NumberFilter(help_text="Resolved after at least so long.")


class ServiceFiguresShape(Shape):
    dialogues = s.IntegerField(help_text="Those that are over: rates are shares of them.")
    under_way = s.IntegerField()
    resolved = s.IntegerField(help_text="By the assistant alone.")
    confirmed = s.IntegerField(help_text="Of these: the person says so.")
    handed_over = s.IntegerField()
    unresolved = s.IntegerField()
    resolution_low = s.FloatField(help_text="Wilson's interval of 95 % of the share resolved.")
    resolution_high = s.FloatField()
    turns = s.FloatField(allow_null=True, help_text="Mean.")
    turns_resolved = s.FloatField(allow_null=True, help_text="Mean of resolved dialogues.")
    turns_p95 = s.FloatField(allow_null=True)
    answers = s.IntegerField()
    answer_p50_s = s.FloatField(allow_null=True, help_text="From a message to its answer.")
    answer_p95_s = s.FloatField(allow_null=True)
    resolve_p50_s = s.FloatField(allow_null=True, help_text="From the beginning to the answer.")
    resolve_p95_s = s.FloatField(allow_null=True)
    rated = s.IntegerField()
    satisfaction = s.FloatField(allow_null=True, help_text="Mean, 1 to 5.")


class ServicePeriod(ServiceFiguresShape):
    begins = s.DateField()


class ServiceGroup(ServiceFiguresShape):
    value = s.CharField(help_text="An intent, a version's number, a channel, a language.")
    assistant = s.UUIDField(allow_null=True, help_text="Of a version.")


HandOverReason = shape_of(
    "HandOverReason",
    reason=s.CharField(),
    dialogues=s.IntegerField(),
    resolved=s.IntegerField(help_text="By a human."),
    waited_p50_s=s.FloatField(allow_null=True, help_text="For a human."),
)
ActionOutcomes = shape_of(
    "ActionOutcomes",
    action=s.CharField(),
    **{outcome: s.IntegerField() for outcome in CallOutcome.values},
)


class ServiceShape(Shape):
    first = s.DateField()
    last = s.DateField()
    time_zone = s.CharField(help_text="The time zone of the days.")
    by = s.ChoiceField(By.values)
    total = ServiceFiguresShape()
    series = ServicePeriod(many=True, help_text="Figures of each day or week.")
    groups = ServiceGroup(many=True, help_text="The fifty largest.")
    hand_overs = HandOverReason(many=True)
    actions = ActionOutcomes(many=True)
    ratings = s.DictField(child=s.IntegerField(), help_text="How many people gave each mark.")
    EXAMPLE = {"time_zone": "UTC", "ratings": {"5": 12, "4": 3, "3": 0, "2": 1, "1": 0}}


class ServiceFigures(Resource):
    shape = ServiceShape

    @Act(P.VIEW_ASSISTANTS, asks=ServiceQuestion)
    def report(self, request: Any, **path: Any) -> Response:
        """Report customer service: in all, over time, and by what dialogues have in common.

        A dialogue counts on the day on which it began, and once the person has written.
        """
        form = _valid(self, ServiceFilter)
        report, by = form.report, form.grouping
        try:
            report.check()
        except TooMany:
            text = _("More than 100,000 dialogues began in this time: choose a shorter one.")
            raise bad_request({"range": [text]}) from None
        span = report.cohort.span
        return Response(
            {
                "first": span.first,
                "last": span.last,
                "time_zone": span.zone_name,
                "by": by.value,
                "total": _body(report.total),
                "series": [{"begins": day, **_body(each)} for day, each in report.series()],
                "groups": [
                    {"value": group.value or "", "assistant": group.assistant}
                    | _body(group.figures)
                    for group in report.groups(by)
                ],
                "hand_overs": [asdict(row) for row in report.hand_overs()],
                "actions": [{"action": row.action, **row.counts} for row in report.calls()],
                "ratings": {str(mark): count for mark, count in report.ratings().items()},
            }
        )


class ServiceDialogue(Row):
    public_id = s.CharField(help_text="As `/v1/dialogues` names it.")
    assistant = s.UUIDField(source="assistant_id")
    version = s.IntegerField()
    channel = s.ChoiceField(Channel.choices)
    language = s.CharField()
    intents = s.ListField(child=s.CharField())
    turns = s.IntegerField(source="turns_count")
    outcome = s.SerializerMethodField()
    satisfaction = s.IntegerField(allow_null=True)
    EXAMPLE = {"version": 3, "channel": "widget", "language": "en", "intents": ["track"]}

    def get_outcome(self, row: Any) -> str:
        return outcome_of(row, row.is_over).value


class ServiceDialogues(Resource):
    shape = ServiceDialogue

    def rows(self) -> QuerySet[Dialogue]:
        form: DialogueFilter = _valid(self, DialogueFilter)
        rows = form.narrowing.of(form.cohort.rows).defer("ciphertext")
        return rows.annotate(is_over=ExpressionWrapper(OVER, output_field=BooleanField()))

    @Act(P.VIEW_ASSISTANTS, asks=DialogueQuestion)
    def list(self, request: Any, **path: Any) -> Response:
        """List the dialogues behind a figure, without their texts."""
        return self.respond_page(self.rows())


Estimate = shape_of("Estimate", value=s.FloatField(), low=s.FloatField(), high=s.FloatField())


class ComparedFigure(Shape):
    name = s.CharField()
    live = Estimate(allow_null=True, help_text="With its interval of 95 %.")
    challenger = Estimate(allow_null=True)
    difference = Estimate(allow_null=True, help_text="The challenger's less the live version's.")
    verdict = s.ChoiceField([BETTER, WORSE, CHANCE, TOO_FEW], help_text="Of the challenger.")


class ComparisonShape(Shape):
    since = s.DateTimeField()
    live = s.IntegerField(help_text="A version's number.")
    challenger = s.IntegerField()
    people_live = s.IntegerField(help_text="Each person counts once, with their first dialogue.")
    people_challenger = s.IntegerField()
    sentence = s.CharField(help_text="Whether they differ in resolution by more than chance.")
    figures = ComparedFigure(many=True)
    EXAMPLE = {"live": 2, "challenger": 3, "people_live": 412, "people_challenger": 96}


class Comparisons(Resource):
    shape = ComparisonShape

    @Act(P.VIEW_ASSISTANTS)
    def show(self, request: Any, **path: Any) -> Response:
        """Compare an assistant's challenger with its live version. Without a challenger: 404."""
        row = self.url_tenant.assistants.filter(pk=self.kwargs["assistant"]).first()
        result = compared(row) if row else None
        if result is None:
            raise not_found()
        people = result.resolution
        return Response(
            {
                "since": result.since,
                "live": result.live,
                "challenger": result.challenger,
                "people_live": people.live.count,
                "people_challenger": people.challenger.count,
                "sentence": sentence(result),
                "figures": [_compared(measure) for measure in result.measures],
            }
        )


def _compared(measure: Measure) -> dict[str, Any]:
    sides = {
        "live": measure.live.estimate,
        "challenger": measure.challenger.estimate,
        "difference": measure.difference,
    }
    estimates = {name: asdict(each) if each else None for name, each in sides.items()}
    return {"name": measure.name, **estimates, "verdict": measure.verdict}


def _body(figures: Figures) -> dict[str, Any]:
    low, high = figures.resolution
    bounds = {"resolution_low": low, "resolution_high": high}
    return {**asdict(figures), "unresolved": figures.unresolved, **bounds}


def _valid(view: Resource, form: Any) -> Any:
    """Returns the page's form of the query, valid. Raises Problem."""
    view.checked_filters(Dialogue.objects.none())
    filled = form(view.request.GET, view.url_tenant)
    if not filled.is_valid():
        raise bad_request(filled.errors)
    return filled
