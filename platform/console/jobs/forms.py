"""Forms of jobs: the filter of the list, and one to start a job of each kind."""

from typing import Any
from uuid import UUID

from django import forms
from django.forms import BoundField
from django.utils.translation import gettext_lazy as _

from console.forms import ConsoleForm
from console.jobs import choices, words
from console.jobs.choices import VersionField
from console.jobs.owner import MayUse
from inference.engines import pools
from inference.jobs.creating import SUFFIX, Wanted
from inference.jobs.kinds import KINDS
from inference.jobs.parameters import PATHS, TASKS
from inference.jobs.planning.plans import Plan
from inference.jobs.planning.settable import PARAMETERS, Parameter
from inference.models import JobKind, JobState
from inference.models.job import OVER, JobQuerySet
from inference.models.served import LONGEST_NAME

_PARAMETER = "p_"
_UNNAMED = (JobKind.PREPARE, JobKind.SCORE)  # they make no version of a model
_UNFINISHED = "unfinished"


class JobFilter(ConsoleForm):
    kind = forms.ChoiceField(
        label=_("Kind"), required=False, choices=[("", _("Every kind")), *JobKind.choices]
    )
    state = forms.ChoiceField(
        label=_("State"),
        required=False,
        choices=[("", _("Every state")), (_UNFINISHED, _("Not over yet")), *JobState.choices],
    )

    def of(self, rows: JobQuerySet) -> JobQuerySet:
        if not self.is_valid():
            return rows.none()
        if kind := self.cleaned_data["kind"]:
            rows = rows.filter(kind=kind)
        state = self.cleaned_data["state"]
        if state == _UNFINISHED:
            return rows.exclude(state__in=OVER)
        return rows.filter(state=state) if state else rows


class AnyJobFilter(JobFilter):
    """The filter of all tenants' jobs."""

    tenant = forms.CharField(label=_("Tenant"), required=False, max_length=60)
    pool = forms.CharField(label=_("Pool"), required=False, max_length=LONGEST_NAME)

    def of(self, rows: JobQuerySet) -> JobQuerySet:
        rows = super().of(rows)
        if not self.is_valid():
            return rows
        names = {"tenant__name": self.cleaned_data["tenant"], "pool": self.cleaned_data["pool"]}
        return rows.filter(**{field: name for field, name in names.items() if name})


class JobForm(ConsoleForm):
    """The fields of one kind. `simple` and `advanced` are its two parts."""

    def __init__(
        self,
        data: Any,
        kind: str,
        tenant_id: UUID,
        may_use: MayUse,
        *,
        shows_task_sets: bool = True,
        **more: Any,
    ) -> None:
        super().__init__(data, **more)
        self.kind = kind
        if KINDS[kind].needs_base:
            self.fields["base"] = VersionField(choices.bases(tenant_id), label=_("Model"))
        if KINDS[kind].needs_data:
            self.fields["data_set_version"] = VersionField(
                choices.data_sets(tenant_id, kind), label=_("Data set")
            )
        if kind not in _UNNAMED:
            self.fields["suffix"] = forms.CharField(
                label=_("Name of the result"),
                max_length=SUFFIX,
                required=False,
                help_text=_("It follows the name of the model."),
            )
        rows = choices.named_rows(tenant_id, kind)
        if rows is not None and (shows_task_sets or PATHS[kind] != TASKS):
            label, help_text = words.PARAMETERS[PATHS[kind]]
            texts: dict[str, Any] = {"label": label, "help_text": help_text}
            self.fields[f"{_PARAMETER}{PATHS[kind]}"] = VersionField(rows, required=False, **texts)
        for parameter in PARAMETERS[kind]:
            self.fields[f"{_PARAMETER}{parameter.name}"] = _field(parameter)
        names = [pool.name for pool in pools().values() if not pool.hosted and may_use(pool.model)]
        self.fields["pool"] = forms.ChoiceField(
            label=_("GPUs of the pool"),
            required=False,
            choices=[("", _("That of the model, else the first")), *((one, one) for one in names)],
        )

    @property
    def simple(self) -> list[BoundField]:
        return [self[name] for name in self.fields if name not in self._advanced_names]

    @property
    def advanced(self) -> list[BoundField]:
        return [self[name] for name in self.fields if name in self._advanced_names]

    @property
    def open_advanced(self) -> bool:
        return any(name in self.errors for name in self._advanced_names)

    @property
    def _advanced_names(self) -> set[str]:
        rare = [each.name for each in PARAMETERS[self.kind] if not each.simple]
        rare.append(PATHS.get(self.kind, ""))
        return {"pool", *(f"{_PARAMETER}{name}" for name in rare)}

    @property
    def parameters(self) -> dict[str, Any]:
        """Returns those that are set."""
        names = [each.name for each in PARAMETERS[self.kind]]
        values = {name: self.cleaned_data.get(f"{_PARAMETER}{name}") for name in names}
        if row := self.cleaned_data.get(f"{_PARAMETER}{PATHS.get(self.kind)}"):
            values[PATHS[self.kind]] = str(row)
        return {name: value for name, value in values.items() if value not in (None, "")}

    @property
    def wanted(self) -> Wanted:
        fields = self.cleaned_data
        return Wanted(
            kind=self.kind,
            base=str(fields.get("base") or ""),
            data_set_version=fields.get("data_set_version"),
            parameters=self.parameters,
            suffix=fields.get("suffix", ""),
            pool=fields["pool"],
        )

    def plan(self) -> Plan | None:
        """Returns what can be estimated; None where a field is missing or wrong."""
        if not self.is_valid():
            return None
        fields = self.cleaned_data
        base, data = fields.get("base"), fields.get("data_set_version")
        return Plan(self.kind, base, data, self.parameters)


def _field(parameter: Parameter) -> forms.Field:
    label, help_text = words.PARAMETERS[parameter.name]
    texts: dict[str, Any] = {"label": label, "help_text": help_text, "initial": parameter.default}
    if parameter.is_flag:
        return forms.BooleanField(required=False, **texts)
    if parameter.choices:
        choices = [(one, words.CHOICES[one]) for one in parameter.choices]
        return forms.ChoiceField(choices=choices, **texts)
    field_kind = forms.IntegerField if parameter.is_whole else forms.FloatField
    bounds: dict[str, Any] = {"min_value": parameter.low, "max_value": parameter.high}
    field = field_kind(required=parameter.default is not None, **bounds, **texts)
    if not parameter.is_whole:
        field.widget.attrs["step"] = "any"
    if parameter.default is None:
        field.widget.attrs["placeholder"] = _("chosen by the trainer")
    return field
