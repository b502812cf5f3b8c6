"""Forms of models, pools and engines for operators. The models validate once more."""

from dataclasses import asdict
from hashlib import sha256
from typing import Any

import orjson
from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from console.forms import CHANGED_MEANWHILE, ConsoleForm, LongForm
from console.serving.option_fields import OPTION_NAMES, OTHERS, OptionFields, shown
from inference.engine_entries import AUTO, MOST_SLOTS, SLOTS, name_problem
from inference.engines import KINDS
from inference.models import Engine, Model, Pool
from inference.models.served import LONGEST_NAME, Declared
from inference.pool_policy import JOBS, LONGEST_MS, RouteCondition
from inference.registry.checking import check_fields
from infrastructure.url_form import url_problem


def is_name(name: str) -> None:
    if name.endswith(JOBS):
        raise ValidationError(_("A name does not end with :jobs."))
    if name_problem(name):
        raise ValidationError(_("A name has no blanks, commas, * or ?."))


def is_url(url: str) -> None:
    if not (problem := url_problem(url)):
        return
    if "password" in problem:
        raise ValidationError(_("Put no user name and no password into the address."))
    raise ValidationError(_("Enter an address that begins with http:// or https://."))


class _NewForm(ConsoleForm):
    table: type[Declared]
    name = forms.CharField(label=_("Name"), max_length=LONGEST_NAME, validators=[is_name])

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if self.table._default_manager.filter(name=name).exists():
            raise ValidationError(_("This name is taken."))
        return name


class NewModelForm(_NewForm):
    table = Model


class NewPoolForm(_NewForm):
    table = Pool
    model = forms.ModelChoiceField(Model.objects.all(), label=_("Model"), to_field_name="name")

    def __init__(self, data: Any = None) -> None:
        super().__init__(data, auto_id="pool_%s")


class OptionsField(forms.CharField):
    """A JSON object that PostgreSQL can store: no NUL, no half of a character."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.Textarea(attrs={"rows": 3, "spellcheck": "false"})
        super().__init__(max_length=20_000, widget=widget, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return orjson.dumps(value).decode() if isinstance(value, dict) else value

    def clean(self, value: Any) -> dict[str, Any]:
        text = super().clean(value)
        try:
            options = orjson.loads(text or "{}")
        except orjson.JSONDecodeError:
            options = None
        if not isinstance(options, dict) or "\\u0000" in text:
            raise ValidationError(_("Enter a JSON object."))
        return options


class RouteFields(ConsoleForm):
    """The hours in which a pool takes requests."""

    condition = forms.ChoiceField(
        label=_("Takes requests"),
        choices=[
            (RouteCondition.ALWAYS, _("in its turn")),
            (RouteCondition.OVERFLOW, _("overflow: when the wait is too long")),
            (RouteCondition.FAILOVER, _("failover: when no other pool is available")),
        ],
    )
    overflow_after_ms = forms.IntegerField(
        label=_("Overflow above (milliseconds)"),
        min_value=0,
        max_value=LONGEST_MS,
        required=False,
        help_text=_("Of expected wait in the pool that would take the request."),
    )

    def clean_overflow_after_ms(self) -> int:
        after: int = self.cleaned_data["overflow_after_ms"] or 0
        if self.cleaned_data.get("condition") == RouteCondition.OVERFLOW and not after:
            raise ValidationError(_("Overflow needs the wait above which it begins."))
        return after


class PolicyForm(RouteFields):
    """The policy of a pool. `known` is a fingerprint of the policy as the form was made."""

    limits = OptionsField(
        label=_("Limits of the queue as JSON"),
        required=False,
        help_text=_(
            "By class of work: how many may wait, and for how long (seconds); its minimum share "
            "after so many seconds without a turn, and slots that are kept free for it, always or "
            "(headroom) while it has had requests in the last minute, or for its VIPs alone "
            "(reserved_vip), and the most that lower classes have while it comes (lower_slots). "
            "Such as "
            '{"realtime": {"waiting": 1000, "wait_s": 60, "reserved": 2}, "batch": {"share": 0.05, '
            '"share_after_s": 60}}.'
        ),
    )
    window = OptionsField(
        label=_("Window of batches as JSON"),
        required=False,
        help_text=_(
            'In the time zone of their tenant, such as {"hours": "22:00-06:00", "outside": 2, '
            '"ramp_minutes": 30}. Empty: as the installation says.'
        ),
    )
    lending = OptionsField(
        label=_("Lending of engines to jobs as JSON"),
        required=False,
        help_text=_(
            'Such as {"return_s": 25, "awake": 1, "spare": true, "hours": "22:00-06:00", '
            '"time_zone": "Europe/Berlin"}: a job has 25 seconds to give a GPU back. Empty: the '
            "pool lends none."
        ),
    )
    known = forms.CharField(widget=forms.HiddenInput)

    @classmethod
    def of(cls, pool: Pool, data: Any = None) -> "PolicyForm":
        return cls(data, initial={**asdict(pool.policy), "known": _policy_fingerprint(pool)})

    def change(self, pool: Pool, *, by: str) -> None:
        """Change a locked pool. Raises FromFile, ValidationError."""
        fields = dict(self.cleaned_data)
        if fields.pop("known") != _policy_fingerprint(pool):
            raise ValidationError(CHANGED_MEANWHILE)
        pool.change(by=by, **fields)


def _policy_fingerprint(pool: Pool) -> str:
    policy = orjson.dumps(asdict(pool.policy), option=orjson.OPT_SORT_KEYS)
    return sha256(policy).hexdigest()[:32]


class SlotsField(forms.IntegerField):
    """A number, or `auto`."""

    widget = forms.TextInput

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(label=_("Slots"), min_value=1, max_value=MOST_SLOTS, **kwargs)

    def clean(self, value: Any) -> Any:
        text = str(value or "").strip().casefold()
        return AUTO if text == AUTO else super().clean(value)


class KeyField(forms.CharField):
    """A secret that is never shown: left empty, it stays as it is."""

    def __init__(self) -> None:
        super().__init__(
            label=_("API key of the service"),
            required=False,
            max_length=4096,
            widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
            help_text=_("Stored encrypted and never shown. Empty: as it is."),
        )


class EngineForm(LongForm, OptionFields):
    """An engine. Its options are folded away (templates/console/_long_form.html)."""

    url = forms.CharField(
        label=_("Address"),
        max_length=500,
        validators=[is_url],
        widget=forms.URLInput(attrs={"placeholder": "http://gpu-1:8000/v1"}),
    )
    slots = SlotsField(
        initial=SLOTS,
        help_text=_("Answers at the same time; auto: as many as the engine says."),
    )
    hosted = forms.BooleanField(
        label=_("Hosted elsewhere"),
        required=False,
        help_text=_("Tenants that are local only never reach it."),
    )
    api_key = KeyField()
    options = OptionsField(
        label=_("Further options as JSON"), required=False, help_text=", ".join(OTHERS)
    )

    def __init__(self, data: Any = None, **kwargs: Any) -> None:
        super().__init__(data, auto_id="engine_%s", **kwargs)
        self.order_fields([name for name in self.fields if name not in self.more])

    @property
    def more(self) -> tuple[str, ...]:
        return (*OPTION_NAMES, "options")

    @property
    def settings(self) -> dict[str, Any]:
        """Returns the fields as the API takes them: without a key, the old one stays."""
        values = self.cleaned_data
        fields = {name: value for name, value in values.items() if name not in OPTION_NAMES}
        fields["options"] = self.option_values
        if not fields["api_key"]:
            del fields["api_key"]
        return fields


class ChangedEngineForm(EngineForm):
    """Changes an engine. `known` is a fingerprint of the engine as the form was made."""

    known = forms.CharField(widget=forms.HiddenInput)

    @classmethod
    def of(cls, engine: Engine, data: Any = None) -> "ChangedEngineForm":
        initial = {"url": engine.shown_url, "known": _fingerprint(engine), "hosted": engine.hosted}
        initial["slots"] = AUTO if engine.auto_slots else engine.slots
        initial |= shown(engine.options)
        return cls(data, initial=initial)

    def change(self, engine: Engine, *, by: str) -> None:
        """Change a locked engine. Raises FromFile, ValidationError."""
        fields = self.settings
        if fields.pop("known") != _fingerprint(engine):
            raise ValidationError(CHANGED_MEANWHILE)
        values, launch = {"kind": engine.kind, **fields}, engine.options.get("launch")
        check_fields(engine.pool, engine.name, values, checked_launch=launch)
        engine.change(by=by, **fields)


def _fingerprint(engine: Engine) -> str:
    """Returns a fingerprint, as an ETag. Slots that the engine itself has changed do not count."""
    fields = {n: v for n, v in engine.fields.items() if n != "slots" or not engine.auto_slots}
    return sha256(repr(fields).encode()).hexdigest()[:32]


class NewEngineForm(_NewForm, EngineForm):
    table = Engine
    pool = forms.ModelChoiceField(
        Pool.objects.select_related("model"), label=_("Pool"), to_field_name="name"
    )
    kind = forms.ChoiceField(label=_("Kind"), choices=[(kind, kind) for kind in sorted(KINDS)])
    field_order = ("pool", "name", "kind")

    def __init__(self, data: Any = None) -> None:
        super().__init__(data)
        self.fields["api_key"].help_text = _(
            "Stored encrypted and never shown. Leave empty if none is needed."
        )
        self.fields["url"].required = False
        self.fields["url"].help_text = _(
            'Empty for a server that Forebay starts: kind llama_cpp, and {"launch": {"model": '
            '"FILE.gguf"}} as options, a file in a folder of FOREBAY_MODELS.'
        )
