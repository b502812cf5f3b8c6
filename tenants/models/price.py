"""Prices of tokens and of GPU time, each from a moment on."""

from decimal import Decimal
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.trail.record import act
from tenants.quotas.peak_hours import PeakHours

_NOT_NEGATIVE = [MinValueValidator(Decimal(0))]
_PRICE: dict[str, Any] = {"max_digits": 12, "decimal_places": 4, "validators": _NOT_NEGATIVE}


def check_peak_hours(text: str) -> None:
    """Raises ValidationError."""
    try:
        PeakHours.parse(text)
    except ValueError:
        example = "Mon-Fri 01:00-04:00, 06:00-10:00"
        message = _("Enter hours of the week in UTC, such as %(example)s")
        raise ValidationError(message, params={"example": example}) from None


class PriceQuerySet(models.QuerySet["Price"]):
    def holding(self) -> "PriceQuerySet":
        """Returns the present price of each model, and of each pool that has one."""
        past = self.filter(since__lte=timezone.now())
        same = past.filter(model=models.OuterRef("model"), pool=models.OuterRef("pool"))
        latest = same.order_by("-since").values("pk")[:1]
        return past.filter(pk=models.Subquery(latest), ended=False).order_by("model", "pool")

    def of(self, model: str, pool: str) -> "Price | None":
        """Returns the price in force in a pool of a model; None where all is free of charge."""
        rows = self.holding().filter(model=model, pool__in=("", pool))
        return rows.order_by("-pool").first()


class Price(models.Model):
    """A price of a model's tokens from a moment on, in micro-units of the currency per token.

    1 micro-unit per token is 1 currency unit per million tokens. A request pays the price at its
    admission. A model without a price is free of charge. In the hours of `peak_hours` (see
    quotas/peak_hours.py) all prices are multiplied by `peak_factor`.

    `gpu_hour` is in currency units: jobs (inference/jobs) pay for the time of GPUs.

    With a `pool`, it is the price of that pool of the model; the model's price applies to pools
    without one. An `ended` row removes its pool's price from then on.
    """

    model = models.CharField(_("model"), max_length=120)
    pool = models.CharField(_("pool"), max_length=120, blank=True, db_default="")
    prompt = models.DecimalField(_("per million prompt tokens"), **_PRICE)
    cached = models.DecimalField(_("per million cached tokens"), **_PRICE)
    completion = models.DecimalField(_("per million completion tokens"), **_PRICE)
    gpu_hour = models.DecimalField(
        _("per GPU-hour of jobs"), default=Decimal(0), db_default=Decimal(0), **_PRICE
    )
    peak_hours = models.CharField(
        _("peak hours in UTC"),
        max_length=120,
        blank=True,
        db_default="",
        validators=[check_peak_hours],
    )
    peak_factor = models.DecimalField(
        _("prices at peak hours, times"),
        max_digits=7,
        decimal_places=4,
        db_default=Decimal(1),
        validators=_NOT_NEGATIVE,
    )
    ended = models.BooleanField(default=False, db_default=False, editable=False)
    since = models.DateTimeField(default=timezone.now)

    objects: ClassVar[PriceQuerySet] = PriceQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [models.UniqueConstraint("model", "pool", "since", name="tenants_price_once")]

    def __str__(self) -> str:
        where = f" in {self.pool}" if self.pool else ""
        return f"{self.model}{where} since {self.since:%Y-%m-%d %H:%M}"

    @classmethod
    def set(
        cls,
        model: str,
        prompt: Decimal | int | str,
        cached: Decimal | int | str,
        completion: Decimal | int | str,
        *,
        gpu_hour: Decimal | int | str = 0,
        pool: str = "",
        peak_hours: str = "",
        peak_factor: Decimal | int | str = 1,
        by: str,
    ) -> "Price":
        """Sets a price for new requests, in every process within 5 s.

        Earlier prices stay as they were. Raises ValidationError.
        """
        price = cls(
            model=model.strip(),
            pool=pool.strip(),
            prompt=prompt,
            cached=cached,
            completion=completion,
            gpu_hour=gpu_hour,
            peak_hours=peak_hours.strip(),
            peak_factor=peak_factor,
        )
        price.full_clean()
        with transaction.atomic():
            price.save(force_insert=True)
            act(Action.PRICE_CHANGE, actor=by, detail=price._description())
        return price

    def end(self, *, by: str) -> "Price":
        """Ends a pool's price: from now on the model's applies. Earlier requests keep their price.

        Raises ValidationError for a model's price, and for one that has been replaced.
        """
        if not self.pool:
            raise ValidationError(_("Only a pool's own price can end: set the model's to 0."))
        with transaction.atomic():
            if not Price.objects.holding().filter(pk=self.pk).exists():
                raise ValidationError(_("This price holds no longer."))
            none = {"prompt": 0, "cached": 0, "completion": 0, "gpu_hour": 0, "ended": True}
            ended = Price.objects.create(model=self.model, pool=self.pool, **none)
            act(Action.PRICE_CHANGE, actor=by, detail=ended._description())
        return ended

    def gpu_second(self, at: float) -> float:
        """Returns micro-units per GPU-second at `at`, seconds since the epoch."""
        peak = self.peak_hours and PeakHours.parse(self.peak_hours).covers(at)
        factor = self.peak_factor if peak else Decimal(1)
        return float(self.gpu_hour * factor * 1_000_000 / 3600)

    def _description(self) -> dict[str, str]:
        if self.ended:
            return {"model": self.model, "pool": self.pool, "ended": "yes"}
        detail = {
            "model": self.model,
            "prompt": str(self.prompt),
            "cached": str(self.cached),
            "completion": str(self.completion),
            "gpu_hour": str(self.gpu_hour),
        }
        if self.pool:
            detail["pool"] = self.pool
        if self.peak_hours:
            detail |= {"peak_hours": self.peak_hours, "peak_factor": str(self.peak_factor)}
        return detail
