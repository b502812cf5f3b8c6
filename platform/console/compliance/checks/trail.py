"""Checks that the trail is sealed, its seals hold, and witnesses outside the database have them.

The newest part is verified here, each time; `manage.py audit_verify` verifies all of it.
"""

from datetime import timedelta
from typing import Any

from django.db import connection
from django.utils import timezone

from audit import merkle
from audit.keys import signing
from audit.models import Checkpoint, Event, Seal, WitnessMark
from audit.proof.chain import CHECKPOINT, ZERO
from audit.proof.seal import computed_hash, facts_of
from audit.proof.seal_mark import CannotSeal, unsealed_age
from audit.trail.canonical import LINE
from console.compliance.check import Check, Outcome, Problem, Reach
from console.compliance.texts import Text
from tenants.models import Tenant

SEALS, DAYS = 40, 7  # the newest ones; 40 have at most 20,000 events
BEHIND_S = 60  # the sealer comes every second
UNHEARD = timedelta(minutes=10)
_LINES = f"select id, {LINE} from audit_event where id = any(%s) and at between %s and %s"


def _verified(tenant: Tenant | None) -> Outcome:
    recent = Seal.objects.filter(sealed_at__gte=timezone.now() - timedelta(days=DAYS))
    seals = list(recent.order_by("-id")[:SEALS])
    checkpoints = list(Checkpoint.objects.filter(n__in={seal.checkpoint for seal in seals}))
    wrong = [f"seal {s.batch}: {why}" for s in seals for why in _seal_problems(s)]
    wrong += [
        f"checkpoint {c.n}: {why}" for c in checkpoints for why in _checkpoint_problems(c, tenant)
    ]
    if len(checkpoints) < len({seal.checkpoint for seal in seals}):
        wrong.append("a checkpoint is missing")
    figures: dict[str, Any] = {
        "seals": len(seals),
        "events": sum(seal.size for seal in seals),
        "checkpoints": len(checkpoints),
        "newest_checkpoint": max((c.n for c in checkpoints), default=0),
        "wrong": len(wrong),
    }
    if wrong:
        return Outcome("broken_seal", {**figures, "found": wrong[:20]})
    return Outcome("" if seals or _nothing_to_seal() else "nothing_sealed", figures)


def _nothing_to_seal() -> bool:
    now = timezone.now()
    late = now - timedelta(seconds=BEHIND_S)
    return not Event.objects.filter(at__gt=now - timedelta(days=DAYS), at__lt=late).exists()


def _seal_problems(seal: Seal) -> list[str]:
    """Returns the differences of a batch from what was sealed."""
    leaves = _leaves(seal)
    problems = []
    if b"".join(leaves) != bytes(seal.leaves) or len(leaves) != seal.size:
        problems.append("its events are not those that were sealed")
    if leaves and merkle.root(leaves) != bytes(seal.root):
        problems.append("its root is not that of its events")
    if computed_hash(seal) != bytes(seal.hash):
        problems.append("it has been changed")
    if bytes(seal.previous) != _hash_before(seal):
        problems.append("the batch before it is not the one it was chained to")
    return problems


def _leaves(seal: Seal) -> list[bytes]:
    with connection.cursor() as cursor:
        cursor.execute(_LINES, [seal.event_ids, seal.first_at, seal.last_at])
        lines = dict(cursor.fetchall())
    return [merkle.leaf(lines[pk].encode()) for pk in seal.event_ids if pk in lines]


def _hash_before(seal: Seal) -> bytes:
    if seal.batch == 1:
        return ZERO
    before = Seal.objects.filter(tenant_id=seal.tenant_id, batch=seal.batch - 1)
    digest = before.values_list("hash", flat=True).first()
    return bytes(digest) if digest else b""


def _checkpoint_problems(checkpoint: Checkpoint, tenant: Tenant | None) -> list[str]:
    facts, problems = facts_of(checkpoint), []
    if not signing.is_ours(facts.text, bytes(checkpoint.signature), CHECKPOINT):
        problems.append("its signature does not verify")
    if tenant is None:  # a tenant does not see the other seals of the round
        round_ = Seal.objects.filter(checkpoint=checkpoint.n).order_by("position")
        hashes = [bytes(digest) for digest in round_.values_list("hash", flat=True)]
        if merkle.root(hashes) != facts.root:
            problems.append("its root is not that of its seals")
    return problems


def _unsealed(_tenant: Tenant | None) -> Outcome:
    newest = Checkpoint.objects.order_by("-n").first()
    try:
        age, stopped = round(unsealed_age(), 1), False
    except CannotSeal:
        age, stopped = round((timezone.now() - newest.at).total_seconds(), 1) if newest else 0, True
    figures = {
        "unsealed_s": age,
        "checkpoint": newest.n if newest else 0,
        "sealed_events": newest.size if newest else 0,
        "sealed_at": newest.at.isoformat() if newest else None,
    }
    if stopped:
        return Outcome("stopped", figures)
    return Outcome("behind" if age > BEHIND_S else "", figures)


def _witnesses(_tenant: Tenant | None) -> Outcome:
    """Count the witnesses. Their names are shown to operators only."""
    newest = Checkpoint.objects.order_by("-n").first()
    marks = list(WitnessMark.objects.all())
    unheard = 0
    if newest:
        old = Checkpoint.objects.filter(at__lt=timezone.now() - UNHEARD).order_by("-n").first()
        unheard = sum(bool(mark.problem) or bool(old and mark.n < old.n) for mark in marks)
    figures = {
        "witnesses": len(marks),
        "behind": unheard,
        "newest_heard": max((mark.n for mark in marks), default=0),
        "checkpoint": newest.n if newest else 0,
    }
    if newest and not marks:
        return Outcome("none", figures)
    return Outcome("unheard" if unheard else "", figures)


CHECKS = (
    Check(
        "trail",
        Text("Newest part of the trail, verified", "校验最新的审计记录"),
        Text(
            "Hashes the newest sealed events again (40 batches, of seven days at most) and holds "
            "them against seals, chain, checkpoints and their signatures.",
            "重新计算最新已封存事件的哈希（至多七天内的 40 批），"
            "并与封存、链、检查点及其签名比对。",
        ),
        _verified,
        {
            "broken_seal": Problem(
                Text(
                    "The trail is not what was sealed: it has been tampered with.",
                    "审计记录与封存时不一致：已被篡改。",
                ),
                Text(
                    "Run `manage.py audit_verify`, keep its output and the witnesses' files, and "
                    "take a copy of the database before anything else.",
                    "运行 `manage.py audit_verify`，保存其输出与见证文件，并首先复制数据库。",
                ),
            ),
            "nothing_sealed": Problem(
                Text("Events are there, but none is under seal.", "有审计事件，但均未封存。"),
                Text(
                    "See whether Celery's beat and a worker run: they seal each second.",
                    "请确认 Celery beat 与 worker 正在运行：它们每秒封存一次。",
                ),
            ),
        },
        over="seals",
    ),
    Check(
        "unsealed",
        Text("Sealing keeps up", "封存及时"),
        Text(
            "Asks how long the event that is next in line has waited for its seal.",
            "查询下一条待封存事件已等待的时间。",
        ),
        _unsealed,
        {
            "stopped": Problem(
                Text(
                    "Nothing comes under seal since a restore, or since the sealer's mark is gone.",
                    "自恢复数据库以来，或自封存标记丢失以来，没有任何记录被封存。",
                ),
                Text(
                    "Run `manage.py audit_resume --after-restore`: it verifies the trail, and has "
                    "sealing go on from exactly there.",
                    "运行 `manage.py audit_resume --after-restore`：它会校验记录，"
                    "并从断点处继续封存。",
                ),
            ),
            "behind": Problem(
                Text("The sealer is behind by more than a minute.", "封存滞后超过一分钟。"),
                Text(
                    "See whether Celery's beat and a worker run, and whether a transaction has "
                    "been open for long.",
                    "请确认 Celery beat 与 worker 正在运行，且没有长时间未结束的事务。",
                ),
            ),
        },
        Reach.GENERAL,
    ),
    Check(
        "witnesses",
        Text("Witnesses outside the database", "数据库之外的见证"),
        Text(
            "Compares what witnesses have heard with the newest checkpoint.",
            "将见证方收到的内容与最新检查点比较。",
        ),
        _witnesses,
        {
            "none": Problem(
                Text(
                    "Nobody outside the database has heard of any checkpoint.",
                    "数据库之外尚无见证方收到检查点。",
                ),
                Text(
                    "Set up a witness that the database's administrators do not own: a file on "
                    "another machine, a webhook, or syslog.",
                    "请配置数据库管理员无法控制的见证：另一台机器上的文件、Webhook 或 syslog。",
                ),
            ),
            "unheard": Problem(
                Text("A witness does not hear.", "有见证方未收到检查点。"),
                Text(
                    "See the log for what it answered; nothing is lost meanwhile, it is told "
                    "again.",
                    "请在日志中查看其应答；其间不会丢失，系统会再次发送。",
                ),
            ),
        },
        Reach.GENERAL,
    ),
)
