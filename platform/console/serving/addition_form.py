"""The form that adds a model with its pool and its first engine, all at once."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from console.serving.forms import EngineForm, RouteFields, is_name
from inference.engines import KINDS
from inference.models import Engine, Model, Pool
from inference.models.served import LONGEST_NAME
from inference.pool_policy import MOST_WAITING
from inference.registry.checking import check_fields

KIND = "vllm"
WAITING, WAIT_S = 1_000, 60  # defaults of the queue of realtime requests
LONGEST_WAIT_S = 86_400
_POOL_FIELDS = ("pool", "condition", "overflow_after_ms", "waiting", "wait_s")
_ENGINE_FIELDS = ("kind", "url", "api_key", "hosted", "slots")
_MODEL_FIELDS = ("model", "name", "context_length", "capabilities")
_TAKEN = _("This name is taken.")


def _name(label: Any, help_text: Any, *, required: bool = True) -> forms.CharField:
    return forms.CharField(
        label=label,
        max_length=LONGEST_NAME,
        validators=[is_name],
        required=required,
        help_text=help_text,
    )


class ModelAdditionForm(RouteFields, EngineForm):
    kind = forms.ChoiceField(
        label=_("Kind"), choices=[(kind, kind) for kind in sorted(KINDS)], initial=KIND
    )
    name = _name(_("Name for tenants"), _("As clients send it in their requests."))
    pool = _name(_("Name of the pool"), _("Empty: the name of the model."), required=False)
    waiting = forms.IntegerField(
        label=_("Most waiting requests"),
        min_value=1,
        max_value=MOST_WAITING,
        required=False,
        initial=WAITING,
        help_text=_(
            "Of people and programs that wait for the answer. Empty: as the installation says."
        ),
    )
    wait_s = forms.IntegerField(
        label=_("Longest wait (seconds)"),
        min_value=1,
        max_value=LONGEST_WAIT_S,
        required=False,
        initial=WAIT_S,
        help_text=_(
            "Requests that would wait longer are refused at once. Empty: as the installation says."
        ),
    )

    def __init__(self, data: Any = None) -> None:
        super().__init__(data)
        self.fields["api_key"].help_text = _(
            "Stored encrypted and never shown. Leave empty if none is needed."
        )
        self.fields["model"].widget.attrs["list"] = "engine-models"
        self.fields["model"].help_text = _("As the engine calls it. Test the connection to choose.")

    @property
    def more(self) -> tuple[str, ...]:
        return tuple(name for name in super().more if name not in _MODEL_FIELDS)

    @property
    def sections(self) -> list[tuple[Any, list[forms.BoundField]]]:
        """Returns the headings with their fields, but for those that are folded away."""
        parts: list[tuple[Any, tuple[str, ...]]] = [
            (_("Engine"), _ENGINE_FIELDS),
            (_("Model"), _MODEL_FIELDS),
            (_("Pool and queue"), _POOL_FIELDS),
        ]
        return [(title, [self[name] for name in names]) for title, names in parts]

    def clean(self) -> dict[str, Any]:
        """Complete the names, and refuse those that are taken."""
        fields = self.cleaned_data
        fields["pool"] = fields.get("pool") or fields.get("name", "")
        if Model.objects.filter(name=fields.get("name", "")).exists():
            self.add_error("name", _TAKEN)
        elif _is_taken(fields["pool"]):
            self.add_error("pool", _TAKEN)
        return fields

    @property
    def engine_fields(self) -> dict[str, Any]:
        """Returns the fields of the engine alone, as Engine.add takes them."""
        others = {"name", *_POOL_FIELDS}
        return {name: value for name, value in self.settings.items() if name not in others}

    @property
    def policy(self) -> dict[str, Any]:
        fields = self.cleaned_data
        bounds = {name: fields[name] for name in ("waiting", "wait_s") if fields.get(name)}
        route = {name: fields[name] for name in ("condition", "overflow_after_ms")}
        return {**route, "limits": {"realtime": bounds} if bounds else {}}

    def add(self, *, by: str) -> Model:
        """Add model, pool and engine, in a transaction of the caller. Raises ValidationError."""
        fields, name = self.engine_fields, self.cleaned_data["pool"]
        model = Model.add(self.cleaned_data["name"], by=by)
        pool = Pool.add(model, name, by=by, **self.policy)
        check_fields(pool, name, fields)
        Engine.add(pool, name, by=by, **fields)
        return model


def _is_taken(name: str) -> bool:
    """Returns whether a pool or an engine has the name: the new ones share it."""
    rows = (table._default_manager.filter(name=name) for table in (Pool, Engine))
    return any(same.exists() for same in rows)
