"""Metrics of energy: what requests and idle time took, and what a kilowatt-hour emits."""

from django.conf import settings

from inference.metrics.labels import ENGINE, POOL
from infrastructure.metrics import Counter, Gauge, Label

JOULES = Counter(
    "forebay_energy_joules_total",
    "Energy of an engine's GPUs, for requests and while a worker waits for more",
    POOL,
    ENGINE,
    Label.of("part", "requests", "idle"),
)
CARBON = Gauge(
    "forebay_carbon_grams_per_kwh", "FOREBAY_CARBON_G_PER_KWH, for energy in grams of CO2"
)


def show_carbon() -> None:
    """Show the factor, if there is one, in a process that measures energy."""
    if settings.CARBON_G_PER_KWH:
        CARBON.set(settings.CARBON_G_PER_KWH)
