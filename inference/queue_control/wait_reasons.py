"""Reasons why a tenant's requests wait, and advice."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import TextChoices
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from inference.engines import pools
from inference.queue_control.of_tenant import OwnLine


class Reason(TextChoices):
    NO_ENGINE = "no_engine", _("No engine of the pool takes requests at the moment.")
    FULL = (
        "full",
        _("Every slot is busy, or the last free ones are kept for others who may come."),
    )
    HIGHER_CLASSES = "higher_classes", _("Requests of higher classes begin first.")
    TURNS = "turns", _("Tenants take turns, each as often as its weight says.")
    OWN_BACKLOG = "own_backlog", _("Your own earlier requests begin first.")
    STARTING = "starting", _("Nothing is before them: the next free slot is theirs.")


ADVICE: dict[str, Promise] = {
    Reason.NO_ENGINE: _("The operators of the platform see this too. Requests wait on meanwhile."),
    Reason.FULL: _("Send large amounts at a quieter time, or as a batch."),
    Reason.HIGHER_CLASSES: _(
        "Leave out x-forebay-class where an answer is urgent. A class that has waited for long "
        "gets a share all the same."
    ),
    Reason.TURNS: _("A higher tier has a larger weight, and its turn comes more often."),
    Reason.OWN_BACKLOG: _("Send fewer requests at once, or set max_tokens lower."),
    Reason.STARTING: _("Nothing to do: they begin within moments."),
}


@dataclass(frozen=True, slots=True)
class Cause:
    reason: Reason
    advice: Promise


def causes(line: OwnLine) -> list[Cause]:
    """Returns at least one cause, the most important first."""
    reasons = list(_reasons(line)) or [Reason.STARTING]
    return [Cause(reason, ADVICE[reason]) for reason in reasons]


def _reasons(line: OwnLine) -> Iterator[Reason]:
    pool = pools().get(line.pool)
    if pool is None or not pool.engines:
        yield Reason.NO_ENGINE
    if line.higher_classes:
        yield Reason.HIGHER_CLASSES
    if line.takes_turns:
        yield Reason.TURNS
    if line.waiting > 1:
        yield Reason.OWN_BACKLOG
    if line.full:
        yield Reason.FULL
