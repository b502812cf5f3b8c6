"""Page of the backups: how far all is stored, and what restoring the newest one has shown."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render

from audit.models import CheckRun
from console.authorization import ConsoleRequest, operators_only
from console.backups.record import VERIFICATION, Progress, Verified
from console.backups.verifications import last
from console.paging import page

_BEHIND_S = 60  # the log is stored each second


@dataclass(frozen=True, slots=True)
class State:
    """The report of this host's backup process; moments are None for never."""

    progress: Progress
    now: float

    @property
    def stored_until(self) -> datetime | None:
        return _moment(self.progress.stored_until)

    @property
    def behind_s(self) -> float | None:
        until = self.progress.stored_until
        return max(0.0, self.now - until) if until else None

    @property
    def is_well(self) -> bool:
        behind_s = self.behind_s
        is_late = behind_s is None or behind_s > _BEHIND_S
        return self.progress.is_running and not self.progress.failure and not is_late

    @property
    def failing_since(self) -> datetime | None:
        return _moment(self.progress.failing_since)

    @property
    def base_at(self) -> datetime | None:
        return _moment(self.progress.base_at)


@operators_only
def backups(request: ConsoleRequest) -> HttpResponse:
    home: Path = settings.FOREBAY_HOME
    runs = CheckRun.objects.filter(name=VERIFICATION, tenant_id=None)
    context = {
        "place": settings.BACKUP_TO,
        "streams": settings.BACKUP_STREAMS,
        "state": State(Progress.read(home), time.time()),
        "kit_at": _moment(Verified.read(home).kit_at),
        "last": last(),
        "good": runs.filter(ok=True).order_by("-at").first(),
        "page": page(runs, "at", request.GET.get("cursor", "")),
    }
    return render(request, "console/backups.html", context)


def _moment(at: float) -> datetime | None:
    return datetime.fromtimestamp(at, UTC) if at else None
