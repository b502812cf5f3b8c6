"""Forms of evaluations: a task set, an evaluation of a model, a gate of a pool."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from console.evaluations.report_lines import NAMES
from console.forms import ConsoleForm, NameField
from inference.evaluation import lines
from inference.evaluation.content import BUCKETS, Content, Kind, Options
from inference.evaluation.figures import METRICS
from inference.models import EvaluationGate, Pool, TaskSet
from inference.models.evaluations.evaluation_gate import Bound
from inference.models.prompt_template import LONGEST_NAME
from tenants.models import Tenant

_METRICS = [metric for metrics in METRICS.values() for metric in metrics]


class TaskSetForm(ConsoleForm):
    name = NameField()
    kind = forms.ChoiceField(label=_("Kind"), choices=Kind.choices, initial=Kind.CHOICES)
    content = forms.CharField(
        label=_("Items as JSONL"),
        max_length=lines.LARGEST,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 12, "spellcheck": "false"}),
        help_text=_("One JSON object in each line. The documentation shows those of each kind."),
    )
    max_tokens = forms.IntegerField(
        label=_("Tokens of an answer"), min_value=1, max_value=1024, initial=32
    )
    match = forms.ChoiceField(
        label=_("Comparison of answers"),
        choices=(
            ("relaxed", _("without regard to case, width and a full stop")),
            ("exact", _("to the letter")),
        ),
    )
    window = forms.IntegerField(
        label=_("Tokens of a text read together"), min_value=16, max_value=4096, initial=256
    )
    test_percent = forms.IntegerField(
        label=_("Part for tests (percent)"),
        min_value=1,
        max_value=BUCKETS,
        initial=BUCKETS,
        help_text=_("Items are chosen by their hashes. The others are never asked."),
    )

    def publish(self, tenant: Tenant, *, by: str) -> TaskSet:
        """Write the version. Raises ValidationError."""
        fields = dict(self.cleaned_data)
        name, kind = fields.pop("name"), fields.pop("kind")
        data: bytes = fields.pop("content").encode()
        try:
            items = lines.items_in(data, kind)
        except lines.BadLines as wrong:
            raise ValidationError({"content": str(wrong)}) from None
        return TaskSet.publish(tenant, name, Content(kind, items, Options(**fields)), by=by)


class EvaluationForm(ConsoleForm):
    task_set = forms.ModelChoiceField(label=_("Task set"), queryset=TaskSet.objects.none())
    model = forms.ChoiceField(label=_("Model"))
    against = forms.ChoiceField(
        label=_("Beside"), required=False, help_text=_("A second model, asked the same.")
    )

    def __init__(self, data: Any, tenant: Tenant, models: list[str]) -> None:
        super().__init__(data)
        rows = tenant.task_sets.defer("ciphertext").order_by("name", "-number")
        self.fields["task_set"].queryset = rows.select_related("tenant")  # type: ignore[attr-defined]
        names = [(name, name) for name in models]
        self.fields["model"].choices = names  # type: ignore[attr-defined]
        self.fields["against"].choices = [("", "–"), *names]  # type: ignore[attr-defined]


class GateForm(ConsoleForm):
    task_set_name = forms.CharField(
        label=_("Task set"), max_length=LONGEST_NAME, help_text=_("For people: the hash decides.")
    )
    sha256 = forms.CharField(
        label=_("Hash (SHA-256)"),
        min_length=64,
        max_length=64,
        help_text=_("The page of a task set and its reports say it."),
    )
    metric = forms.ChoiceField(
        label=_("Figure"), choices=[(name, NAMES[name]) for name in _METRICS]
    )
    bound = forms.ChoiceField(label=_("The limit is"), choices=Bound.choices)
    limit = forms.FloatField(label=_("Limit"))

    def add(self, pool: Pool, *, by: str) -> EvaluationGate:
        """Raises ValidationError."""
        return EvaluationGate.add(pool, **self.cleaned_data, by=by)
