"""Checks of deletion requests, holds and exports: deadlines are met, and deleted data is gone."""

from datetime import timedelta
from typing import Any

from django.db.models import Count, F, Q
from django.utils import timezone

from audit.erasure import certificate
from audit.models import (
    DataKey,
    DeletionMode,
    DeletionRequest,
    DeletionState,
    ErasureStep,
    Export,
    LegalHold,
    Tombstone,
)
from audit.retention import legal_hold
from console.compliance.check import CheckOutcome, outcome
from console.compliance.queries import DAYS, owned, since
from tenants.models import Tenant

BANDS_H = (1, 24, 48, 72)
LOOKED_AT = 200  # certificates whose signature is verified
SWEPT_WITHIN = timedelta(hours=24)  # after an export has expired


def deletion_clock(tenant: Tenant | None) -> CheckOutcome:
    requests = owned(DeletionRequest.objects.all(), tenant)
    recent = requests.filter(requested_at__gte=since(365))
    took = F("finished_at") - F("requested_at")
    done = recent.filter(state=DeletionState.DONE, mode=DeletionMode.ERASE).annotate(took=took)
    histogram = {
        f"within_{hours}_h": done.filter(took__lte=timedelta(hours=hours)).count()
        for hours in BANDS_H
    }
    waiting = requests.exclude(state__in=(DeletionState.DONE, DeletionState.REFUSED))
    counts = dict(waiting.order_by().values_list("state").annotate(n=Count("pk")))
    restricted = Q(mode=DeletionMode.RESTRICT, started_at__isnull=False)
    running = waiting.exclude(state=DeletionState.HELD).exclude(restricted)
    figures: dict[str, Any] = {
        "done": done.count(),
        **histogram,
        "late": done.filter(finished_at__gt=F("due_at")).count(),
        "refused": recent.filter(state=DeletionState.REFUSED).count(),
        "open": sum(counts.values()),
        "held": counts.get(DeletionState.HELD, 0),
        "overdue": running.filter(due_at__lt=timezone.now()).count(),
    }
    return outcome(figures, overdue=figures["overdue"], late=figures["late"])


def erased(tenant: Tenant | None) -> CheckOutcome:
    erasures = DeletionRequest.objects.filter(state=DeletionState.DONE, mode=DeletionMode.ERASE)
    done = owned(erasures, tenant)
    subjects = set(done.values_list("subject_id", flat=True))
    certificates = list(
        done.order_by("-finished_at").values_list("certificate", flat=True)[:LOOKED_AT]
    )
    keys = DataKey.objects.filter(subject_id__in=subjects).count()
    stores = ErasureStep.objects.filter(request__in=done, finished_at=None).count()
    unmarked = done.exclude(pk__in=Tombstone.objects.values("request_id")).count()
    verified = sum(certificate.verifies(c) for c in certificates if c)
    figures = {
        "erased": done.count(),
        "keys_left": keys,
        "stores_left": stores,
        "without_tombstone": unmarked,
        "certificates_verified": verified,
        "certificates_looked_at": len(certificates),
    }
    remains = keys or stores or unmarked
    return outcome(figures, left=remains, certificate=verified < len(certificates))


def holds(tenant: Tenant | None) -> CheckOutcome:
    rows = owned(LegalHold.objects.all(), tenant)
    active = owned(legal_hold.holding(), tenant)
    alone = rows.exclude(approved_at=None).filter(approved_by=F("requested_by")).count()
    figures = {
        "in_force": active.count(),
        "waiting": active.filter(approved_at=None).count(),
        "released": rows.exclude(released_at=None).count(),
        "approved_alone": alone,
    }
    return outcome(figures, alone=alone)


def exports(tenant: Tenant | None) -> CheckOutcome:
    rows, now = owned(Export.objects.all(), tenant), timezone.now()
    ready = rows.filter(state="ready")
    unswept = ready.filter(expires_at__lt=now - SWEPT_WITHIN).count()
    figures = {
        "made_90_days": rows.filter(created_at__gte=since(DAYS)).count(),
        "ready": ready.filter(expires_at__gt=now).count(),
        "failed": rows.filter(state="failed", created_at__gte=since(7)).count(),
        "expired_there": unswept,
    }
    return outcome(figures, unswept=unswept)
