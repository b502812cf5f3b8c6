"""Page of the prices of tokens by model, with their history; operators set them."""

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext_lazy as _

from console.account.reauthentication import recently_proven
from console.authorization import ConsoleRequest, operators_only
from console.forms import ConsoleForm
from console.post_only import require_POST
from console.reported_acts import report_and_leave, saved
from console.tables import Column, Table
from inference.engines import served
from inference.models import Pool
from tenants.models import Price


def check_pool(model: str, pool: str) -> str:
    """Returns the pool's name. Raises ValidationError if there is one of this name elsewhere."""
    row = Pool.objects.select_related("model").filter(name=pool.strip()).first()
    if row and row.model.name != model.strip():
        raise ValidationError(_("This pool is of the model %(name)s.") % {"name": row.model.name})
    return pool.strip()


class PriceField(forms.DecimalField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=0, max_digits=12, decimal_places=4, **kwargs)
        self.widget.attrs["step"] = "any"


class PriceForm(ConsoleForm):
    model = forms.CharField(
        label=_("Model"),
        max_length=120,
        widget=forms.TextInput(attrs={"list": "models", "autocomplete": "off"}),
    )
    pool = forms.CharField(
        label=_("Pool"),
        required=False,
        max_length=120,
        widget=forms.TextInput(attrs={"list": "pools", "autocomplete": "off"}),
        help_text=_("Empty: every pool that has no price of its own."),
    )
    prompt = PriceField(label=_("Per million prompt tokens"))
    cached = PriceField(label=_("Per million cached tokens"))
    completion = PriceField(label=_("Per million completion tokens"))
    gpu_hour = PriceField(label=_("Per GPU-hour of jobs"), required=False, initial=0)
    peak_hours = forms.CharField(
        label=_("Peak hours in UTC"),
        required=False,
        max_length=120,
        help_text=_("For example: Mon-Fri 01:00-04:00, 06:00-10:00"),
    )
    peak_factor = forms.DecimalField(
        label=_("Prices at peak hours, times"),
        initial=1,
        required=False,
        min_value=0,
        max_digits=7,
        decimal_places=4,
    )

    def clean_pool(self) -> str:
        return check_pool(self.cleaned_data.get("model", ""), self.cleaned_data["pool"])

    def clean_gpu_hour(self) -> Decimal:
        return self.cleaned_data["gpu_hour"] or Decimal(0)

    def clean_peak_factor(self) -> Decimal:
        factor: Decimal | None = self.cleaned_data["peak_factor"]
        return Decimal(1) if factor is None else factor


PRICES = Table(
    "prices",
    {
        "since": Column(_("Since"), "since", "since"),
        "model": Column(_("Model"), "model", "model"),
        "pool": Column(_("Pool"), "pool", file_only=True),
        "prompt": Column(_("Prompt"), "prompt", "prompt", numbers=True),
        "cached": Column(_("Cached"), "cached", "cached", numbers=True),
        "completion": Column(_("Completion"), "completion", "completion", numbers=True),
        "gpu_hour": Column(_("GPU-hour"), "gpu_hour", "gpu_hour", numbers=True),
        "peak_hours": Column(_("Peak hours in UTC"), "peak_hours", file_only=True),
        "peak_factor": Column(_("Prices at peak hours, times"), "peak_factor", file_only=True),
        "ended": Column(_("ended: as its model"), "ended", file_only=True),
    },
    order="-since",
    search=("model", "pool"),
)


@operators_only
@recently_proven
def prices(request: ConsoleRequest) -> HttpResponse:
    if file := PRICES.file(request, Price.objects.all()):
        return file
    form = PriceForm(request.POST or None)
    if saved(form, lambda: Price.set(**form.cleaned_data, by=request.actor)):
        messages.success(request, _("The price applies to requests received from now on."))
        return redirect("console:prices")
    holding = list(Price.objects.holding())
    priced = {price.model for price in holding if not price.pool}
    context = {
        "form": form,
        "holding": holding,
        "free": [name for name in served() if name not in priced],
        "models": list(served()),
        "pools": Pool.objects.select_related("model"),
        "table": PRICES.shown(request, Price.objects.all()),
    }
    return render(request, "console/prices.html", context)


@require_POST
@operators_only
@recently_proven
def ending(request: ConsoleRequest, price: int) -> HttpResponse:
    """End a pool's own price."""
    row = get_object_or_404(Price, pk=price)
    text = _("Requests that the pool %(name)s serves cost what its model does from now on.")
    return report_and_leave(request, row.end, text % {"name": row.pool}, "console:prices")
