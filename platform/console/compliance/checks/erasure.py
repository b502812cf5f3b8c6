"""Checks of deletion requests, holds and exports: deadlines are met, and deleted data is gone."""

from datetime import timedelta
from typing import Any

from django.db.models import Count, F, Q, QuerySet
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
from console.compliance.check import Check, Outcome, Problem
from console.compliance.texts import Text
from tenants.models import Tenant

YEAR = timedelta(days=365)
BANDS_H = (1, 24, 48, 72)
LOOKED_AT = 200  # certificates whose signature is verified
SWEPT_WITHIN = timedelta(hours=24)  # after an export has expired


def _requests(tenant: Tenant | None) -> QuerySet[DeletionRequest]:
    rows = DeletionRequest.objects.all()
    return rows.filter(tenant_id=tenant.id) if tenant else rows


def _clock(tenant: Tenant | None) -> Outcome:
    now = timezone.now()
    recent = _requests(tenant).filter(requested_at__gte=now - YEAR)
    took = F("finished_at") - F("requested_at")
    done = recent.filter(state=DeletionState.DONE, mode=DeletionMode.ERASE).annotate(took=took)
    histogram = {
        f"within_{hours}_h": done.filter(took__lte=timedelta(hours=hours)).count()
        for hours in BANDS_H
    }
    closed = (DeletionState.DONE, DeletionState.REFUSED)
    waiting = _requests(tenant).exclude(state__in=closed)
    counts = dict(waiting.order_by().values_list("state").annotate(n=Count("pk")))
    restricted = Q(mode=DeletionMode.RESTRICT, started_at__isnull=False)
    overdue = waiting.exclude(state=DeletionState.HELD).exclude(restricted)
    figures: dict[str, Any] = {
        "done": done.count(),
        **histogram,
        "late": done.filter(finished_at__gt=F("due_at")).count(),
        "refused": recent.filter(state=DeletionState.REFUSED).count(),
        "open": sum(counts.values()),
        "held": counts.get(DeletionState.HELD, 0),
        "overdue": overdue.filter(due_at__lt=now).count(),
    }
    if figures["overdue"]:
        return Outcome("overdue", figures)
    return Outcome("late" if figures["late"] else "", figures)


def _erased(tenant: Tenant | None) -> Outcome:
    done = _requests(tenant).filter(state=DeletionState.DONE, mode=DeletionMode.ERASE)
    owners = done.values_list("tenant_id", "subject_id")
    subjects = {subject for _tenant, subject in owners}
    steps = ErasureStep.objects.filter(request__in=done, finished_at=None)
    certificates = list(
        done.order_by("-finished_at").values_list("certificate", flat=True)[:LOOKED_AT]
    )
    figures = {
        "erased": done.count(),
        "keys_left": DataKey.objects.filter(subject_id__in=subjects).count(),
        "stores_left": steps.count(),
        "without_tombstone": done.exclude(pk__in=Tombstone.objects.values("request_id")).count(),
        "certificates_verified": sum(certificate.verifies(c) for c in certificates if c),
        "certificates_looked_at": len(certificates),
    }
    remains = figures["keys_left"] or figures["stores_left"] or figures["without_tombstone"]
    if remains:
        return Outcome("left", figures)
    wrong = figures["certificates_verified"] < figures["certificates_looked_at"]
    return Outcome("certificate" if wrong else "", figures)


def _holds(tenant: Tenant | None) -> Outcome:
    holds, active = LegalHold.objects.all(), legal_hold.holding()
    if tenant:
        holds, active = holds.filter(tenant_id=tenant.id), active.filter(tenant_id=tenant.id)
    alone = holds.exclude(approved_at=None).filter(approved_by=F("requested_by")).count()
    figures = {
        "in_force": active.count(),
        "waiting": active.filter(approved_at=None).count(),
        "released": holds.exclude(released_at=None).count(),
        "approved_alone": alone,
    }
    return Outcome("alone" if alone else "", figures)


def _exports(tenant: Tenant | None) -> Outcome:
    exports = Export.objects.all()
    if tenant:
        exports = exports.filter(tenant_id=tenant.id)
    now = timezone.now()
    ready = exports.filter(state="ready")
    figures = {
        "made_90_days": exports.filter(created_at__gte=now - timedelta(days=90)).count(),
        "ready": ready.filter(expires_at__gt=now).count(),
        "failed": exports.filter(state="failed", created_at__gte=now - timedelta(days=7)).count(),
        "expired_there": ready.filter(expires_at__lt=now - SWEPT_WITHIN).count(),
    }
    return Outcome("unswept" if figures["expired_there"] else "", figures)


CHECKS = (
    Check(
        "deletion_clock",
        Text("Deletion requests within 72 hours", "72 小时内完成删除请求"),
        Text(
            "Measures the requests of the last year: how long each took, how many were late, and "
            "which are open beyond their due date.",
            "统计近一年的删除请求：各自用时、逾期数量以及超期未完成者。",
        ),
        _clock,
        {
            "overdue": Problem(
                Text(
                    "A deletion request is open beyond its 72 hours.",
                    "有删除请求超过 72 小时仍未完成。",
                ),
                Text(
                    "Look at it under Deletion requests: the store that failed says why, and is "
                    "tried again by itself.",
                    "请在删除请求页查看：失败的存储会说明原因，并自动重试。",
                ),
            ),
            "late": Problem(
                Text(
                    "A deletion request of the last year took more than 72 hours.",
                    "近一年有删除请求用时超过 72 小时。",
                ),
                Text(
                    "It is done; have the reason ready for the authority. The request's steps "
                    "show which store was slow.",
                    "该请求已完成；请备好向监管机构说明的理由，其步骤会显示哪个存储较慢。",
                ),
            ),
        },
        over="done",
    ),
    Check(
        "erased",
        Text("What was erased is gone", "已删除的数据确已消失"),
        Text(
            "Looks for keys of erased persons, for stores without evidence and for missing "
            "tombstones, and verifies the signatures of the certificates.",
            "查找已删除人员的密钥、缺少证据的存储与缺失的删除标记，并校验删除证书的签名。",
        ),
        _erased,
        {
            "left": Problem(
                Text(
                    "Something of an erased person is there again, or still.",
                    "已删除人员的数据仍然存在或再次出现。",
                ),
                Text(
                    "Run `manage.py apply_tombstones`: an older backup may have brought it back.",
                    "运行 `manage.py apply_tombstones`：旧备份可能将其恢复。",
                ),
            ),
            "certificate": Problem(
                Text(
                    "The signature of a certificate of erasure does not verify.",
                    "有删除证书的签名校验失败。",
                ),
                Text(
                    "It was changed, or the signing key was exchanged: keep the old public key.",
                    "证书被改动，或签名密钥已更换：请保留旧公钥。",
                ),
            ),
        },
        over="erased",
    ),
    Check(
        "holds",
        Text("Legal holds", "法律保全"),
        Text(
            "Counts holds, and looks for one that the same person placed and approved.",
            "统计法律保全，并查找由同一人提出并批准者。",
        ),
        _holds,
        {
            "alone": Problem(
                Text("A hold was approved by who placed it.", "有保全由提出者本人批准。"),
                Text(
                    "The database refuses that: find out how the row came there.",
                    "数据库会拒绝这种情况：请查明该行的来源。",
                ),
            )
        },
    ),
    Check(
        "exports",
        Text("Exported files", "导出文件"),
        Text(
            "Counts exports, and looks for files that are still there after they expired.",
            "统计导出文件，并查找过期后仍存在的文件。",
        ),
        _exports,
        {
            "unswept": Problem(
                Text("An expired export has not been deleted.", "有过期导出文件未删除。"),
                Text(
                    "See whether Celery's nightly work runs.",
                    "请确认 Celery 夜间任务正常运行。",
                ),
            )
        },
    ),
)
