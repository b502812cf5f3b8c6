from decimal import Decimal
from typing import ClassVar

from django.core.validators import MinValueValidator
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.trail.record import act

_NOT_NEGATIVE = [MinValueValidator(Decimal(0))]


class PriceQuerySet(models.QuerySet["Price"]):
    def holding(self) -> "PriceQuerySet":
        """The one that holds now, of each model that has a price."""
        past = self.filter(since__lte=timezone.now())
        latest = past.filter(model=models.OuterRef("model")).order_by("-since").values("pk")[:1]
        return past.filter(pk=models.Subquery(latest)).order_by("model")


class Price(models.Model):
    """What a model's tokens cost from a moment on, in micro-units of the currency per token.

    1 micro-unit per token is 1 currency unit per million tokens. A request pays the price that
    held when it was admitted. A model without a price is free of charge.
    """

    model = models.CharField(_("model"), max_length=120)
    prompt = models.DecimalField(
        _("per million prompt tokens"), max_digits=12, decimal_places=4, validators=_NOT_NEGATIVE
    )
    cached = models.DecimalField(
        _("per million cached tokens"), max_digits=12, decimal_places=4, validators=_NOT_NEGATIVE
    )
    completion = models.DecimalField(
        _("per million completion tokens"),
        max_digits=12,
        decimal_places=4,
        validators=_NOT_NEGATIVE,
    )
    since = models.DateTimeField(default=timezone.now)

    objects: ClassVar[PriceQuerySet] = PriceQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [models.UniqueConstraint("model", "since", name="tenants_price_once")]

    def __str__(self) -> str:
        return f"{self.model} since {self.since:%Y-%m-%d %H:%M}"

    @classmethod
    def set(
        cls,
        model: str,
        prompt: Decimal | int | str,
        cached: Decimal | int | str,
        completion: Decimal | int | str,
        *,
        by: str,
    ) -> "Price":
        """Holds for requests that come in from now on, in every process within 5 s.

        Earlier prices stay as they were. Raises ValidationError.
        """
        price = cls(model=model.strip(), prompt=prompt, cached=cached, completion=completion)
        price.full_clean()
        with transaction.atomic():
            price.save(force_insert=True)
            act(Action.PRICE_CHANGE, actor=by, detail=price._described())
        return price

    def _described(self) -> dict[str, str]:
        return {
            "model": self.model,
            "prompt": str(self.prompt),
            "cached": str(self.cached),
            "completion": str(self.completion),
        }
