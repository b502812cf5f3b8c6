"""Task sets: the tasks by which a tenant evaluates models."""

from typing import Any

import django_filters as f
from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.acts import Act, calling, filters, listing, showing
from console.api.problem import bad_request
from console.api.resource import Resource
from console.api.strict_input import Row, Shape
from inference.evaluation import lines
from inference.evaluation.content import BUCKETS, Content, Kind, Options
from inference.models import TaskSet
from inference.models.prompt_template import LONGEST_NAME
from tenants.roles import Permission as P

_LINE = '{"prompt": "The capital of France is", "choices": ["Paris", "Rome"], "answer": "Paris"}'


class OptionsShape(Shape):
    separator = s.CharField(
        max_length=10,
        required=False,
        allow_blank=True,
        trim_whitespace=False,
        help_text="Between a prompt and each of its choices. Default: a space.",
    )
    max_tokens = s.IntegerField(
        min_value=1, max_value=1024, required=False, help_text="Of an answer. Default: 32."
    )
    match = s.ChoiceField(
        ["relaxed", "exact"],
        required=False,
        help_text="`relaxed`, the default: without regard to case, width and a full stop.",
    )
    window = s.IntegerField(
        min_value=16,
        max_value=4096,
        required=False,
        help_text="Tokens of a text that are read together. Default: 256.",
    )
    test_percent = s.IntegerField(
        min_value=1,
        max_value=BUCKETS,
        required=False,
        help_text="The part of the items that evaluations ask, chosen by their hashes. The others "
        "are yours to tune prompts with. Default: 100.",
    )


class NewTaskSet(Shape):
    name = s.CharField(max_length=LONGEST_NAME)
    kind = s.ChoiceField(Kind.choices)
    content = s.CharField(
        max_length=lines.LARGEST, trim_whitespace=False, help_text="JSONL: an item in each line."
    )
    options = OptionsShape(required=False)
    EXAMPLE = {"name": "capitals", "kind": "choices", "content": _LINE}


class TaskSetShape(Row):
    name = s.CharField()
    version = s.IntegerField(source="number")
    kind = s.ChoiceField(Kind.choices)
    sha256 = s.CharField(help_text="Of items, kind and options: gates and reports name it.")
    items = s.IntegerField()
    test_items = s.IntegerField(help_text="Items that evaluations ask.")
    options = OptionsShape()
    created_by = s.CharField()
    EXAMPLE = {
        "name": "capitals",
        "version": 1,
        "kind": "choices",
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "items": 200,
        "test_items": 200,
        "options": {"separator": " ", "test_percent": 100},
        "created_by": "member:0192e6a0-77aa-7c6e-9f6e-1f2a3b4c5d6e",
    }


def content_of(data: bytes, kind: str, options: dict[str, Any]) -> Content:
    """Returns the content of a file. Raises BadLines."""
    return Content(kind, lines.items_in(data, kind), Options(**options))


class TaskSets(Resource):
    shape = TaskSetShape
    orderings = ("-created_at", "created_at", "name", "-name")

    def rows(self) -> Any:
        return self.url_tenant.task_sets.defer("ciphertext")

    list = listing(
        P.VIEW_EVALUATIONS,
        "List a tenant's task sets, each version of them.",
        asks=filters(
            name=f.CharFilter(max_length=LONGEST_NAME), sha256=f.CharFilter(max_length=64)
        ),
    )
    retrieve = showing(P.VIEW_EVALUATIONS, "Show a version of a task set.")
    destroy = calling(
        "remove",
        P.MANAGE_EVALUATIONS,
        "Remove a version of a task set.\n\nReports about it stay. Evaluations under way fail.",
    )

    @Act(P.MANAGE_EVALUATIONS, takes=NewTaskSet)
    def create(self, request: Any, **path: Any) -> Response:
        """Write a version of a task set.

        The same content again gives the version that has it. A wrong file is refused with the
        numbers of its lines.
        """
        fields = self.body()
        data, options = fields["content"].encode(), fields.get("options", {})
        try:
            content = content_of(data, fields["kind"], options)
        except lines.BadLines as wrong:
            problems = [_("Line %d: %s") % problem for problem in wrong.problems]
            raise bad_request({"content": problems}) from None
        row = TaskSet.publish(self.url_tenant, fields["name"], content, by=self.actor)
        return self.respond(row, 201)
