"""Scheduled rotation of API keys.

On its day a key gets a successor whose text nobody has. Somebody who may rotate the key collects it
once: the text is made in that moment, so that it is never stored. The old key works until the
overlap ends, collected or not.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from tenants.models.model_changes import lock

if TYPE_CHECKING:
    from tenants.models.api_key import ApiKey

PLATFORM = "platform"  # the actor of what happens by itself
LONGEST_OVERLAP = timedelta(days=30)
MOST_DAYS = 730  # between two rotations
DAY_S = 86_400
# Of a key's times: some time zone has no later one, and no page there could show it.
LATEST = datetime(9000, 1, 1, tzinfo=UTC)


class ScheduledRotation(models.Model):
    """The schedule of a key's rotation, and a successor that waits to be collected."""

    rotate_at = models.DateTimeField(_("rotates"), null=True, blank=True)
    rotate_days = models.PositiveSmallIntegerField(null=True, blank=True)  # None: only once
    rotation_overlap_s = models.PositiveIntegerField(default=DAY_S, db_default=DAY_S)
    uncollected = models.BooleanField(default=False, db_default=False, editable=False)

    class Meta:
        abstract = True

    def schedule(
        self,
        *,
        by: str,
        rotate_at: datetime | None,
        days: int | None = None,
        overlap: timedelta = timedelta(days=1),
    ) -> None:
        """Sets when the key rotates, and every how many days from then on; None ends it.

        Raises ValidationError.
        """
        key = cast("ApiKey", self)
        _check(rotate_at, days, overlap)
        with transaction.atomic():
            lock(key)
            key.refuse_if_over()
            self.rotate_at, self.rotate_days = rotate_at, days if rotate_at else None
            self.rotation_overlap_s = int(overlap.total_seconds())
            key.save(update_fields=["rotate_at", "rotate_days", "rotation_overlap_s"])
            at = rotate_at.isoformat() if rotate_at else ""
            detail = {"rotate_at": at, "days": days or 0, "overlap_s": self.rotation_overlap_s}
            key.record(Action.API_KEY_SCHEDULE, by, detail)

    def rotate_if_due(self) -> ApiKey | None:
        """Rotates the key if its time has come. Returns the successor, which is uncollected."""
        key = cast("ApiKey", self)
        with transaction.atomic():
            lock(key)
            if not self.rotate_at or self.rotate_at > timezone.now():
                return None  # another process was first, or the schedule has changed
            overlap = timedelta(seconds=self.rotation_overlap_s)
            successor, _text = key.rotate(by=PLATFORM, overlap=overlap)
            successor.uncollected = True
            successor.save(update_fields=["uncollected"])
        return successor

    def collect(self, *, by: str) -> str:
        """Returns the text of a successor that was made by schedule, once. Raises ValidationError.

        Like a rotation by hand, it makes the key depend on who collects it.
        """
        key = cast("ApiKey", self)
        with transaction.atomic():
            lock(key)
            key.refuse_if_over()
            if not self.uncollected:
                raise ValidationError(_("This key has been collected already."))
            text = key.remint(by)
            key.record(Action.API_KEY_COLLECT, by)
        return text

    def following(self, now: datetime) -> datetime | None:
        """Returns when a successor made now rotates, None without a repeated schedule."""
        return now + timedelta(days=self.rotate_days) if self.rotate_days else None


def _check(rotate_at: datetime | None, days: int | None, overlap: timedelta) -> None:
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise ValidationError({"overlap": _("Both keys can work for up to 30 days.")})
    if days is not None and not 1 <= days <= MOST_DAYS:
        raise ValidationError({"days": _("Rotate every 1 to 730 days.")})
    check_time("rotate_at", rotate_at)


def check_time(name: str, at: datetime | None) -> None:
    """Raises ValidationError for a time that is past, after LATEST, or without a time zone."""
    if at is None:
        return
    if timezone.is_naive(at):
        raise ValidationError({name: _("Say in which time zone.")})
    if at <= timezone.now():
        raise ValidationError({name: _("Choose a time that is still to come.")})
    if at > LATEST:
        raise ValidationError({name: _("Choose a time before the year 9000.")})
